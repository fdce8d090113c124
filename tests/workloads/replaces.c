// Loads the two libraries of its last two arguments in turn, 400 times each, always to the same address, and takes a block in each.
#include "truth.h"

#include <dlfcn.h>

static void *place;

SITE static void in_library(const char *path, int is_first) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    truth_require(library != NULL, "dlopen failed");
    void *(*plugin_block)(size_t);
    *(void **)&plugin_block = dlsym(library, "plugin_block");
    truth_require(plugin_block != NULL, "dlsym failed");
    if (place == NULL) place = *(void **)&plugin_block;
    truth_require(place == *(void **)&plugin_block, "the library is at another address than the one before");
    truth_block(truth_site("in_library", HEAP), plugin_block(100), 100);
    // Who looks at what is mapped now and then must have seen each of them once.
    if (truth_waits && is_first) {
        truth_say("loaded\n");
        truth_listen();
    }
    truth_require(dlclose(library) == 0, "dlclose failed");
}

int main(int argc, char **argv) {
    truth_begin(argc, argv);
    for (int i = 0; i < 800; i++) in_library(argv[argc - 2 + i % 2], i < 2);
    truth_end();
    return 0;
}
