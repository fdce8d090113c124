// Programs of many threads or processes: one of them leaks, or all grow and are replaced.
#include "grows.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { THREADS = 32, WORKERS = 8, WORKERS_STEP = 4, THREADS_STEP = 8 };

static struct churn share_of(struct chance *chance, double parts) {
    struct churn churn = some_churn(chance);
    churn.rate /= parts;
    return churn;
}

// ---- a leak in one of many threads ----

struct worker_thread {
    pthread_t id;
    struct life life;
    int leaks;
    // What all threads have in use.
    double level;
};

static struct worker_thread threads[THREADS];

SITE static void keep_upload_part(size_t size) { escape(leak(__func__, size)); }

static void *thread_main(void *argument) {
    struct worker_thread *thread = (struct worker_thread *)argument;
    struct life *life = &thread->life;
    struct churn churn = share_of(&life->chance, THREADS / 2);
    double parts = 20;
    double size = thread->leaks * scale(&life->chance, 0.8, 3) * thread->level / (parts * life->seconds);
    do {
        serve(life, &churn, 1);
        for (long i = thread->leaks * arrivals(life, parts); i > 0; i--)
            keep_upload_part((size_t)(size * between(&life->chance, 0.5, 1.5)));
    } while (step_of(life, 0));
    return NULL;
}

static void one_thread(struct life *life) {
    struct churn typical = {1600.0 / (THREADS / 2), 1265, 0.18};
    for (int i = 0; i < THREADS; i++) {
        struct chance chance = {bits(&life->chance)};
        live(&threads[i].life, chance, life->seconds, THREADS_STEP);
        threads[i].leaks = i == 11;
        threads[i].level = THREADS * level(&typical);
        truth_require(pthread_create(&threads[i].id, NULL, thread_main, &threads[i]) == 0, "no thread");
    }
    while (step(life)) {}
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i].id, NULL);
}

// ---- forked workers ----

// A child of the program, which begins a life of its own. Returns its PID in the parent, 0 in the child.
static pid_t forked(struct life *life, const char *role, double seconds) {
    struct chance chance = {bits(&life->chance)};
    pid_t child = fork();
    truth_require(child >= 0, "fork failed");
    if (child > 0) return child;
    // What was the parent's stays as it is: nobody here will free it.
    live(life, chance, seconds, WORKERS_STEP);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    tell_role(role);
    return 0;
}

static void wait_for_children(int count) {
    for (int status; count > 0; count--)
        truth_require(wait(&status) > 0 && status == 0, "a worker has failed");
}

SITE static void keep_rendered_thumbnail(size_t size) { escape(leak(__func__, size)); }

static void work(struct life *life, double leaks) {
    struct churn churn = some_churn(&life->chance);
    double parts = 40;
    double size = leaks * scale(&life->chance, 0.8, 3) * level(&churn) / (parts * life->seconds);
    do {
        serve(life, &churn, 1);
        if (leaks == 0) continue;
        for (long i = arrivals(life, parts); i > 0; i--)
            keep_rendered_thumbnail((size_t)(size * between(&life->chance, 0.5, 1.5)));
    } while (step(life));
}

static void one_worker(struct life *life) {
    int leaking = (int)(bits(&life->chance) % WORKERS);
    for (int i = 0; i < WORKERS; i++) {
        if (forked(life, i == leaking ? "leaking" : "worker", life->seconds) > 0) continue;
        work(life, i == leaking);
        tell_account();
        _exit(0);
    }
    struct churn churn = some_churn(&life->chance);
    do serve(life, &churn, 1);
    while (step(life));
    wait_for_children(WORKERS);
}

SITE static struct block *cache_result(size_t size) { return allocate(size); }

// Grows by all that it has answered. How large it may become is its master's business.
static void work_and_keep(struct life *life) {
    struct churn churn = share_of(&life->chance, 3);
    struct block *results = NULL;
    double size = between(&life->chance, 1, 4) * level(&churn) / (churn.rate * life->seconds);
    do {
        for (long i = serve(life, &churn, 1); i > 0; i--) {
            struct block *result = cache_result((size_t)(size * between(&life->chance, 0.5, 1.5)));
            result->next = results;
            results = result;
        }
    } while (step(life));
    escape(results);
}

// Two workers, which are replaced together after a while, again and again.
static void restarts(struct life *life) {
    struct churn churn = some_churn(&life->chance);
    double turn = between(&life->chance, 2, 2.6);
    long begun = 0;
    do {
        // The last ones end with the program, or before.
        double rest = (double)(life->slots - life->slot) / SLOTS_A_SECOND;
        if (life->slot >= begun * (long)(turn * SLOTS_A_SECOND) && rest > 0.5) {
            if (begun++ > 0) wait_for_children(2);
            for (int i = 0; i < 2; i++) {
                if (forked(life, "replaced", fmin(turn, rest) - 0.05) > 0) continue;
                work_and_keep(life);
                _exit(0);
            }
        }
        serve(life, &churn, 1);
    } while (step(life));
    wait_for_children(2);
}

static const struct kind kinds[] = {
    {"thread-leak", one_thread},
    {"worker-leak", one_worker},
    {"worker-restarts", restarts},
    {NULL, NULL},
};

int main(int argc, char **argv) { return grows_main(argc, argv, kinds); }
