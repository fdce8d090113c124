// Loads a library (its last argument) when told to go, and has it allocate. With the argument `unload` the library is gone
// again afterwards, its blocks are not.
#include "truth.h"

#include <dlfcn.h>

int main(int argc, char **argv) {
    truth_begin(argc, argv);
    void *library = dlopen(argv[argc - 1], RTLD_NOW);
    truth_require(library != NULL, "dlopen failed");
    // ISO C knows no pointer that is a function's and an object's; POSIX does.
    void *(*plugin_block)(size_t);
    *(void **)&plugin_block = dlsym(library, "plugin_block");
    truth_require(plugin_block != NULL, "dlsym failed");
    for (size_t i = 0; i < 300; i++) truth_block(truth_site("plugin_block", HEAP), plugin_block(10 + i), 10 + i);
    // heaptide reads what is mapped when a stack leads where it knows nothing; a library that comes and goes within a
    // moment would not be there any more.
    truth_say("loaded\n");
    if (truth_waits) truth_listen();
    if (truth_told(argc, argv, "unload")) truth_require(dlclose(library) == 0, "dlclose failed");
    truth_end();
    return 0;
}
