// Pairs of malloc(64) and free at full speed on one thread, as many frames deep as the first argument says (4 at least:
// `clone3` and `start_thread` are two of them). Sixteen functions with frames of different sizes call one another in a
// round: as in a program that does something, neighbours on the stack are not alike. Ends with its input.
#include "truth.h"

#include <stdatomic.h>

static atomic_int is_over;

// The compiler must not drop the pair, nor a frame.
#define KEEP(pointer) __asm__ volatile("" : : "r"(pointer) : "memory")

// Frames that stand around those of the round: clone3, start_thread, work, churn.
enum { AROUND = 4 };

SITE static void churn(void) {
    while (!atomic_load_explicit(&is_over, memory_order_relaxed)) {
        void *block = malloc(64);
        KEEP(block);
        free(block);
    }
}

typedef void step(int left);
static step *const STEPS[16];

#define STEP(n, words)                                                                                                 \
    SITE static void step_##n(int left) {                                                                              \
        volatile long kept[words];                                                                                     \
        kept[0] = left;                                                                                                \
        if (left > 1) STEPS[(n + 1) % 16](left - 1);                                                                   \
        else churn();                                                                                                  \
        kept[0] = kept[0] + 1;                                                                                         \
    }
STEP(0, 2) STEP(1, 4) STEP(2, 1) STEP(3, 12) STEP(4, 2) STEP(5, 6) STEP(6, 1) STEP(7, 3)
STEP(8, 2) STEP(9, 8) STEP(10, 1) STEP(11, 4) STEP(12, 2) STEP(13, 20) STEP(14, 1) STEP(15, 5)

static step *const STEPS[16] = {step_0, step_1, step_2,  step_3,  step_4,  step_5,  step_6,  step_7,
                                step_8, step_9, step_10, step_11, step_12, step_13, step_14, step_15};

SITE static void *work(void *frames) {
    int left = *(int *)frames - AROUND;
    if (left > 0) step_0(left);
    else churn();
    KEEP(frames);
    return NULL;
}

int main(int argc, char **argv) {
    int frames = argc > 1 ? atoi(argv[1]) : AROUND;
    pthread_t thread;
    if (frames < AROUND || pthread_create(&thread, NULL, work, &frames) != 0) truth_fail("bench_depth: 4 frames at least");
    truth_say("ready %d\n", (int)getpid());
    char byte;
    while (read(STDIN_FILENO, &byte, 1) == 1) {}
    atomic_store(&is_over, 1);
    pthread_join(thread, NULL);
    return 0;
}
