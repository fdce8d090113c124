// See plugin_frame.h.
#define FRAME 1032
#include "plugin_frame.h"
