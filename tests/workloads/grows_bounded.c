// Programs whose memory ends somewhere, or comes and goes.
#include "grows.h"

// ---- as it should be ----

static void steady(struct life *life) {
    struct churn churn = some_churn(&life->chance);
    do serve(life, &churn, 1);
    while (step(life));
}

SITE static struct block *fill_queue(size_t size) { return allocate(size); }

// A queue that was full is worked off.
static void shrinking(struct life *life) {
    struct churn churn = some_churn(&life->chance);
    double items = between(&life->chance, 60, 150) * life->seconds;
    size_t size = (size_t)(between(&life->chance, 1.5, 6) * level(&churn) / items);
    double done = items / life->seconds * between(&life->chance, 0.5, 0.95);
    struct block *queue = NULL;
    for (long i = 0; i < (long)items; i++) {
        struct block *item = fill_queue(size);
        item->next = queue;
        queue = item;
    }
    do {
        serve(life, &churn, 1);
        for (long i = arrivals(life, done); i > 0 && queue; i--) {
            struct block *item = queue;
            queue = item->next;
            release(item);
        }
    } while (step(life));
}

SITE static void load_table(size_t size) { escape(allocate(size)); }

// Loads its data, then serves.
static void startup(struct life *life) {
    struct churn churn = some_churn(&life->chance);
    double loading = between(&life->chance, 0.04, 0.2);
    double piece = between(&life->chance, 1, 6) * level(&churn) / (loading * life->seconds * 100);
    do {
        if (over(life) < loading)
            for (long i = arrivals(life, 100); i > 0; i--) load_table((size_t)piece);
        serve(life, &churn, 1);
    } while (step(life));
}

// At some time there are more users, and they stay.
static void load_step(struct life *life) {
    struct churn churn = some_churn(&life->chance);
    double rises = between(&life->chance, 0.25, 0.55), more = between(&life->chance, 1.4, 2.2);
    do serve(life, &churn, over(life) < rises ? 1 : more);
    while (step(life));
}

// ---- caches ----

enum { MOST_KEYS = 16384 };

struct entry {
    struct block *value;
    // Neighbours in the order of use; 0 is the list's own place.
    uint32_t newer, older;
};

static struct entry entries[MOST_KEYS];

static void unlink_entry(uint32_t key) {
    entries[entries[key].newer].older = entries[key].older;
    entries[entries[key].older].newer = entries[key].newer;
}

static void link_newest(uint32_t key) {
    entries[key].older = entries[0].older;
    entries[key].newer = 0;
    entries[entries[0].older].newer = key;
    entries[0].older = key;
}

SITE static struct block *load_cache_entry(size_t size) { return allocate(size); }

// A cache that evicts what was not used for the longest time. What is not there is loaded; so it fills ever more slowly.
static void lru(struct life *life) {
    struct churn churn = some_churn(&life->chance);
    double asked = between(&life->chance, 200, 500);
    // Time in which a share of 1 - 1/e of all keys was asked for.
    double keys = fmin(asked * life->seconds * between(&life->chance, 0.12, 0.22), MOST_KEYS - 1);
    long bound = (long)(keys * between(&life->chance, 0.93, 1)), used = 0;
    double size = between(&life->chance, 3, 8) * level(&churn) / keys;
    do {
        serve(life, &churn, 1);
        for (long i = arrivals(life, asked); i > 0; i--) {
            uint32_t key = 1 + (uint32_t)(bits(&life->chance) % (uint64_t)keys);
            if (entries[key].value) {
                unlink_entry(key);
            } else {
                entries[key].value = load_cache_entry((size_t)(size * between(&life->chance, 0.5, 1.5)));
                used++;
            }
            link_newest(key);
            if (used <= bound) continue;
            uint32_t oldest = entries[0].newer;
            unlink_entry(oldest);
            release(entries[oldest].value);
            entries[oldest].value = NULL;
            used--;
        }
    } while (step(life));
}

SITE static struct block *cache_answer(size_t size) { return allocate(size); }

// Entries are dropped some time after they were made.
static void expiry(struct life *life) {
    struct churn churn = some_churn(&life->chance);
    double expires = between(&life->chance, 0.08, 0.3) * life->seconds;
    double made = between(&life->chance, 400, 900);
    double size = between(&life->chance, 2, 8) * level(&churn) / (made * expires);
    do {
        serve(life, &churn, 1);
        for (long i = arrivals(life, made); i > 0; i--) {
            struct block *answer = cache_answer((size_t)(size * between(&life->chance, 0.5, 1.5)));
            free_after(life, answer, expires * between(&life->chance, 0.9, 1.1));
        }
    } while (step(life));
}

// ---- pools ----

enum { OBJECT = 256, OBJECTS = 256 };

struct object {
    struct object *next;
};

static struct object *pool, *in_use[WHEEL];

SITE static void grow_pool(void) {
    char *chunk = (char *)allocate(OBJECT * OBJECTS + sizeof(struct block)) + sizeof(struct block);
    for (int i = 0; i < OBJECTS; i++) {
        struct object *object = (struct object *)(void *)(chunk + i * OBJECT);
        object->next = pool;
        pool = object;
    }
}

// Objects come from chunks that are never given back, and go back to the pool.
static void arena(struct life *life) {
    struct churn churn = some_churn(&life->chance);
    double objects = between(&life->chance, 3000, 8000), kept = between(&life->chance, 0.2, 0.5);
    do {
        serve(life, &churn, 1);
        long now = life->slot / life->step;
        struct object *list = in_use[now % WHEEL];
        in_use[now % WHEEL] = NULL;
        while (list) {
            struct object *object = list;
            list = object->next;
            object->next = pool;
            pool = object;
        }
        for (long i = arrivals(life, objects); i > 0; i--) {
            if (!pool) grow_pool();
            struct object *object = pool;
            pool = object->next;
            long steps = 1 + (long)(exponential(&life->chance, kept) / in_step(life, 1));
            struct object **due = &in_use[(now + (steps < WHEEL ? steps : WHEEL - 1)) % WHEEL];
            object->next = *due;
            *due = object;
        }
    } while (step(life));
}

// ---- cycles ----

// Load that comes and goes, with other weather every day.
static void daily(struct life *life) {
    struct churn churn = some_churn(&life->chance);
    churn.life = 0.1;
    churn.rate *= 2;
    double days = between(&life->chance, 11, 14), deep = between(&life->chance, 0.5, 0.85), begin = unit(&life->chance);
    double weather[16];
    for (int i = 0; i < 16; i++) weather[i] = between(&life->chance, 0.85, 1.15);
    do {
        double time = begin + days * over(life), sun = (sin(2 * M_PI * time) + 1) / 2;
        serve(life, &churn, (1 - deep + deep * sun) * weather[(int)time % 16]);
    } while (step(life));
}

struct queue {
    struct block *first, **last;
    double bytes;
};

static void put(struct queue *queue, struct block *block) {
    *queue->last = block;
    queue->last = &block->next;
    queue->bytes += (double)block->size;
}

SITE static struct block *new_object(size_t size) { return allocate(size); }
SITE static void keep_finalizer(size_t size) { escape(leak(__func__, size)); }

// A managed heap: garbage stays until there is no room for more. `leaks`: how much is reachable for good at the end, of that.
static void collect(struct life *life, double leaks) {
    struct churn churn = some_churn(&life->chance);
    double room = bytes_a_second(&churn) * life->seconds / between(&life->chance, 11, 15);
    struct queue heap = {NULL, &heap.first, 0};
    double reachable = leaks * scale(&life->chance, 0.6, 2) * room / life->seconds;
    do {
        for (long i = arrivals(life, churn.rate); i > 0; i--)
            put(&heap, new_object(some_size(&life->chance, churn.size)));
        for (long i = leaks > 0 ? arrivals(life, 30) : 0; i > 0; i--) keep_finalizer((size_t)(reachable / 30));
        if (heap.bytes < room * between(&life->chance, 0.9, 1.1)) continue;
        // The newest are still in use.
        double live = level(&churn);
        while (heap.bytes > live) {
            struct block *block = heap.first;
            heap.first = block->next;
            heap.bytes -= (double)block->size;
            release(block);
        }
        if (!heap.first) heap.last = &heap.first;
    } while (step(life));
}

static void collector(struct life *life) { collect(life, 0); }
static void collector_leak(struct life *life) { collect(life, 1); }

static const struct kind kinds[] = {
    {"steady", steady},       {"shrinking", shrinking},       {"startup", startup},
    {"load-step", load_step}, {"lru-cache", lru},             {"expiry-cache", expiry},
    {"pool", arena},          {"daily-cycle", daily},         {"collector", collector},
    {"leak-under-collector", collector_leak},                 {NULL, NULL},
};

int main(int argc, char **argv) { return grows_main(argc, argv, kinds); }
