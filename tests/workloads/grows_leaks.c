// Programs that leak: each forgets blocks in one function, whose name says what it is that it keeps.
#include "grows.h"

// Of every request a share forgets what it has read: so often, so large.
struct forgetting {
    double share, size;
};

// What makes so many bytes leak in so many seconds, with blocks as large as all others, or larger where that is too slow.
static struct forgetting forgetting(const struct churn *churn, double bytes, double seconds) {
    double share = bytes / seconds / bytes_a_second(churn);
    struct forgetting forgetting = {fmin(share, 1), churn->size * fmax(share, 1)};
    return forgetting;
}

static long how_many(struct life *life, const struct forgetting *forgetting, long requests) {
    long count = 0;
    for (long i = 0; i < requests; i++) count += happens(&life->chance, forgetting->share);
    return count;
}

SITE static void keep_rejected_header(size_t size) { escape(leak(__func__, size)); }

static void linear(struct life *life) {
    struct churn churn = some_churn(&life->chance);
    struct forgetting share = forgetting(&churn, scale(&life->chance, 0.8, 6) * level(&churn), life->seconds);
    do {
        for (long i = how_many(life, &share, serve(life, &churn, 1)); i > 0; i--)
            keep_rejected_header(some_size(&life->chance, share.size));
    } while (step(life));
}

SITE static void lose_trailer(size_t size) { escape(leak(__func__, size)); }

// A thousandth of all bytes, of requests that come in batches of any size and are answered at once.
static void slow(struct life *life) {
    struct churn churn = some_churn(&life->chance);
    churn.rate = between(&life->chance, 2000, 3000);
    churn.life = between(&life->chance, 0.003, 0.008);
    life->step = 1;
    do {
        long requests = serve(life, &churn, scale(&life->chance, 0.3, 3));
        struct forgetting share = {0.01, 0};
        for (long i = how_many(life, &share, requests); i > 0; i--)
            lose_trailer(some_size(&life->chance, churn.size) / 10);
    } while (step(life));
}

SITE static void report_failure(size_t size) { escape(leak(__func__, size)); }

// Errors are rare, and come in their own time.
static void error_path(struct life *life) {
    struct churn churn = some_churn(&life->chance);
    double errors = between(&life->chance, 5, 20);
    double size = between(&life->chance, 1, 4) * level(&churn) / (errors * life->seconds);
    do {
        serve(life, &churn, 1);
        for (long i = arrivals(life, errors); i > 0; i--)
            report_failure((size_t)(size * between(&life->chance, 0.5, 1.5)));
    } while (step(life));
}

SITE static void queue_retry(size_t size) { escape(leak(__func__, size)); }

// Quiet, then many blocks at once.
static void bursts(struct life *life) {
    struct churn churn = some_churn(&life->chance);
    double bursts = between(&life->chance, 40, 70), blocks = between(&life->chance, 10, 60);
    double size = between(&life->chance, 1.5, 5) * level(&churn) / (bursts * blocks);
    do {
        serve(life, &churn, 1);
        if (!happens(&life->chance, in_step(life, bursts / life->seconds))) continue;
        for (long i = (long)(blocks * between(&life->chance, 0.5, 1.5)); i > 0; i--) queue_retry((size_t)size);
    } while (step(life));
}

SITE static void pin_new_session(size_t size) { escape(leak(__func__, size)); }

// In code that is not reached before a third of the time is over.
static void late(struct life *life) {
    struct churn churn = some_churn(&life->chance);
    double onset = between(&life->chance, 0.3, 0.4);
    double bytes = scale(&life->chance, 1.5, 5) * level(&churn);
    struct forgetting share = forgetting(&churn, bytes, life->seconds * (1 - onset));
    do {
        long requests = serve(life, &churn, 1);
        if (over(life) < onset) continue;
        for (long i = how_many(life, &share, requests); i > 0; i--)
            pin_new_session(some_size(&life->chance, share.size));
    } while (step(life));
}

SITE static void load_table(size_t size) { escape(allocate(size)); }
SITE static void keep_prepared_statement(size_t size) { escape(leak(__func__, size)); }

// Loads its data, then serves and leaks.
static void after_startup(struct life *life) {
    struct churn churn = some_churn(&life->chance);
    double loading = between(&life->chance, 0.05, 0.2);
    double data = between(&life->chance, 1, 6) * level(&churn);
    double piece = data / (loading * life->seconds * 100);
    double bytes = scale(&life->chance, 0.5, 1.5) * (data + level(&churn));
    struct forgetting share = forgetting(&churn, bytes, life->seconds);
    do {
        if (over(life) < loading)
            for (long i = arrivals(life, 100); i > 0; i--) load_table((size_t)piece);
        for (long i = how_many(life, &share, serve(life, &churn, 1)); i > 0; i--)
            keep_prepared_statement(some_size(&life->chance, share.size));
    } while (step(life));
}

struct listener {
    struct block *next;
    size_t size;
    char closure[112];
};

SITE static struct block *add_listener(void) { return allocate(sizeof(struct listener)); }
SITE static struct block *add_listener_without_owner(void) { return leak(__func__, sizeof(struct listener)); }

// Listeners come with a connection and go with it, but for one in ten.
static void listeners(struct life *life) {
    struct churn churn = some_churn(&life->chance);
    struct block *subscribed = NULL;
    churn.size = between(&life->chance, 60, 150);
    double connections = between(&life->chance, 0.1, 0.3) * churn.rate;
    do {
        serve(life, &churn, 1);
        for (long i = arrivals(life, connections); i > 0; i--) {
            if (happens(&life->chance, 0.1)) {
                struct block *listener = add_listener_without_owner();
                listener->next = subscribed;
                subscribed = listener;
            } else {
                free_after(life, add_listener(), exponential(&life->chance, churn.life));
            }
        }
    } while (step(life));
    escape(subscribed);
}

static char *log_text;
static size_t log_length, log_room;

// A buffer of lines that is never written out: half as large again whenever it is full.
SITE static void append_to_log(size_t length) {
    if (log_length + length > log_room) {
        size_t room = log_room + log_room / 2 + length;
        char *text = (char *)realloc(log_text, room);
        truth_require(text != NULL, "realloc failed");
        memset(text + log_room, 0, room - log_room);
        if (log_room > 0) held_less(log_room);
        held_more(room);
        truth_add(&leaked_bytes, room - log_room);
        leaked_blocks = 1;
        leak_site = __func__;
        log_text = text;
        log_room = room;
    }
    memset(log_text + log_length, 'x', length);
    log_length += length;
}

static void log_buffer(struct life *life) {
    struct churn churn = some_churn(&life->chance);
    churn.size = scale(&life->chance, 200, 1000);
    double length = scale(&life->chance, 3, 20) * level(&churn) / (churn.rate * life->seconds);
    do {
        for (long i = serve(life, &churn, 1); i > 0; i--)
            append_to_log(1 + (size_t)(length * between(&life->chance, 0.5, 1.5)));
    } while (step(life));
}

static const struct kind kinds[] = {
    {"linear-leak", linear},     {"slow-leak", slow},
    {"error-path-leak", error_path}, {"burst-leak", bursts},
    {"late-leak", late},         {"leak-after-startup", after_startup},
    {"listener-leak", listeners}, {"log-buffer", log_buffer},
    {NULL, NULL},
};

int main(int argc, char **argv) { return grows_main(argc, argv, kinds); }
