// See plugin_frame.h.
#define FRAME 4104
#include "plugin_frame.h"
