/*
 * A session service with a leak, for `cargo xtask demo` to find.
 *
 * It answers made-up requests, twenty a millisecond, until its standard input closes: so it ends with whatever started
 * it. Three things hold memory:
 *   - a record for each session, freed when its request has been answered;
 *   - a cache of pages, which fills and then stays at CACHE_SLOTS pages;
 *   - the headers of rejected requests, kept "to be looked at later", which nobody ever does: the leak.
 */
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    REQUESTS_A_TICK = 20,
    TICK_MS = 1,
    CACHE_SLOTS = 64,
    PAGES = 1024,
    PAGE_BYTES = 4096,
    HEADER_BYTES = 480,
    ONE_REJECTED_IN = 50,
};

struct request {
    uint32_t user;
    uint32_t page;
    char header[HEADER_BYTES];
};

struct session {
    uint32_t user;
    char scratch[320];
};

struct page {
    uint32_t number;
    char text[PAGE_BYTES];
};

struct rejected {
    struct rejected *next;
    char header[HEADER_BYTES];
};

static struct page *cache[CACHE_SLOTS];
static struct rejected *rejected_headers;
static uint32_t requests;

/* The same numbers in every run: xorshift. */
static uint32_t draw(void)
{
    static uint32_t state = 2463534242u;
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

static void *need(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

static struct session *open_session(uint32_t user)
{
    struct session *session = need(malloc(sizeof *session));
    session->user = user;
    return session;
}

static void close_session(struct session *session)
{
    free(session);
}

static struct page *load_page(uint32_t number)
{
    struct page *page = need(malloc(sizeof *page));
    page->number = number;
    memset(page->text, 'a' + (int)(number % 26), sizeof page->text);
    return page;
}

/* The cache is bounded: a page that is not in its slot takes the place of the one that is. */
static const struct page *cached_page(uint32_t number)
{
    struct page **slot = &cache[number % CACHE_SLOTS];
    if (!*slot || (*slot)->number != number) {
        free(*slot);
        *slot = load_page(number);
    }
    return *slot;
}

/* The leak. The list is only ever added to. */
static void keep_rejected_header(const char *header)
{
    struct rejected *copy = need(malloc(sizeof *copy));
    memcpy(copy->header, header, sizeof copy->header);
    copy->next = rejected_headers;
    rejected_headers = copy;
}

static void note_rejection(const struct request *request)
{
    keep_rejected_header(request->header);
}

static void reject_request(const struct request *request)
{
    note_rejection(request);
}

static void answer_request(const struct request *request, struct session *session)
{
    const struct page *page = cached_page(request->page);
    memcpy(session->scratch, page->text, sizeof session->scratch);
}

static void handle_request(const struct request *request)
{
    struct session *session = open_session(request->user);
    if (request->header[0] == '\0')
        reject_request(request);
    else
        answer_request(request, session);
    close_session(session);
}

static void receive_request(struct request *request)
{
    request->user = draw();
    request->page = draw() % PAGES;
    memset(request->header, 'h', sizeof request->header);
    if (++requests % ONE_REJECTED_IN == 0)
        request->header[0] = '\0';
}

static void serve_tick(void)
{
    for (int i = 0; i < REQUESTS_A_TICK; i++) {
        struct request request;
        receive_request(&request);
        handle_request(&request);
    }
}

int main(void)
{
    struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
    /* The time to the next tick is spent waiting for the end of standard input. */
    while (poll(&input, 1, TICK_MS) == 0)
        serve_tick();
    return 0;
}
