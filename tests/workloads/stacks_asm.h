// Functions that no compiler makes: each describes its frame as compilers do, instruction by instruction.
#ifndef STACKS_ASM_H
#define STACKS_ASM_H

// At the first instruction of a function: what stands before it belongs to another one, whose frame is of another size.
int trap_at_entry(void);
__asm__(".text\n"
        ".type before_trap, @function\n"
        "before_trap:\n"
        "  .cfi_startproc\n"
        "  sub $72, %rsp\n"
        "  .cfi_def_cfa_offset 80\n"
        "  hlt\n"
        "  .cfi_endproc\n"
        ".size before_trap, . - before_trap\n"
        ".type trap_at_entry, @function\n"
        "trap_at_entry:\n"
        "  .cfi_startproc\n"
        "  ud2\n"
        "  mov $1, %eax\n"
        "  ret\n"
        "  .cfi_endproc\n"
        ".size trap_at_entry, . - trap_at_entry\n");

// Calls `function(argument)` on another stack, without a way back but leave_fiber. Keeps the own stack pointer.
void enter_fiber(void **own, void *other, void (*function)(void *), void *argument);
// Goes back to the stack that was kept.
_Noreturn void leave_fiber(void *own);
__asm__(".text\n"
        ".type enter_fiber, @function\n"
        "enter_fiber:\n"
        "  .cfi_startproc\n"
        "  push %rbp\n  push %rbx\n  push %r12\n  push %r13\n  push %r14\n  push %r15\n"
        "  mov %rsp, (%rdi)\n"
        "  mov %rsi, %rsp\n"
        "  mov %rcx, %rdi\n"
        "  push $0\n"
        "  jmp *%rdx\n"
        "  .cfi_endproc\n"
        ".size enter_fiber, . - enter_fiber\n"
        ".type leave_fiber, @function\n"
        "leave_fiber:\n"
        "  .cfi_startproc\n"
        "  mov %rdi, %rsp\n"
        "  pop %r15\n  pop %r14\n  pop %r13\n  pop %r12\n  pop %rbx\n  pop %rbp\n"
        "  ret\n"
        "  .cfi_endproc\n"
        ".size leave_fiber, . - leave_fiber\n");

#endif
