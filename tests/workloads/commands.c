// A program that allocates when it is told to: for each line of input some blocks in the function of that name, then it
// says `done`. What it allocates is never freed.
#include "truth.h"

enum { BLOCKS = 100, SIZE = 1000 };

SITE static void *old(void) { return malloc(SIZE); }

SITE static void *young(void) { return malloc(SIZE); }

SITE static void *more(void) { return malloc(SIZE); }

int main(void) {
    static const struct {
        const char *name;
        void *(*function)(void);
    } commands[] = {{"old", old}, {"young", young}, {"more", more}};
    truth_say("ready %d\n", (int)getpid());
    char word[16];
    size_t length = 0;
    while (read(STDIN_FILENO, &word[length], 1) == 1) {
        if (word[length] != '\n') {
            truth_require(++length < sizeof word, "the command is too long");
            continue;
        }
        word[length] = 0;
        length = 0;
        for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
            for (int block = 0; strcmp(word, commands[i].name) == 0 && block < BLOCKS; block++)
                truth_require(commands[i].function() != NULL, "no memory");
        truth_say("done\n");
    }
    return 0;
}
