// A library with one function, whose frame is FRAME bytes large, at the same place in each library that is made of this.
#include <stddef.h>

#define TEXT(value) #value
#define ADDED(value) TEXT(value)

void *plugin_block(size_t size);
__asm__(".text\n"
        ".globl plugin_block\n"
        ".type plugin_block, @function\n"
        "plugin_block:\n"
        "  .cfi_startproc\n"
        "  sub $" ADDED(FRAME) ", %rsp\n"
        "  .cfi_adjust_cfa_offset " ADDED(FRAME) "\n"
        "  call malloc@PLT\n"
        "  add $" ADDED(FRAME) ", %rsp\n"
        "  .cfi_adjust_cfa_offset -" ADDED(FRAME) "\n"
        "  ret\n"
        "  .cfi_endproc\n"
        ".size plugin_block, . - plugin_block\n");
