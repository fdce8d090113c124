/* A small HTTP server: a thread for each connection, which may ask more than once. */
#ifndef HTTP_H
#define HTTP_H

#include <stddef.h>

struct request {
    char method[8];
    char path[256];
    char *body;
    size_t length;
};

/* Answers a request: the status, and a body as a block that the server frees. */
typedef int (*http_handler)(const struct request *request, char **body);

/* Listens at a free port of the loopback interface, says which on standard output, and serves. Returns on failure. */
int http_serve(http_handler handler);

#endif
