#include "http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD_BYTES = 8192, BODY_BYTES = 1 << 20 };

struct connection {
    int socket;
    http_handler handler;
    char head[HEAD_BYTES];
    size_t filled;
};

static const char *words_for(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 404:
        return "Not Found";
    case 422:
        return "Unprocessable Entity";
    default:
        return "Internal Server Error";
    }
}

static bool send_all(int socket, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(socket, data, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        data += sent;
        length -= (size_t)sent;
    }
    return true;
}

static bool respond(int socket, int status, const char *body)
{
    size_t length = body ? strlen(body) : 0;
    size_t room = length + 160;
    char *answer = malloc(room);
    if (!answer)
        return false;
    int head = snprintf(answer, room,
                        "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", status,
                        words_for(status), length);
    memcpy(answer + head, body ? body : "", length);
    bool sent = send_all(socket, answer, (size_t)head + length);
    free(answer);
    return sent;
}

/* Reads until the head is whole; its length with the blank line, or 0 at the connection's end. */
static size_t read_head(struct connection *connection)
{
    for (;;) {
        char *end = memmem(connection->head, connection->filled, "\r\n\r\n", 4);
        if (end)
            return (size_t)(end - connection->head) + 4;
        if (connection->filled == sizeof connection->head)
            return 0;
        char *to = connection->head + connection->filled;
        ssize_t got = recv(connection->socket, to, sizeof connection->head - connection->filled, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return 0;
        connection->filled += (size_t)got;
    }
}

/* The number behind `Content-Length:`, 0 where there is none. */
static size_t body_length(const char *head, size_t length)
{
    static const char name[] = "\r\nContent-Length:";
    for (size_t i = 0; i + sizeof name < length; i++)
        if (strncasecmp(head + i, name, sizeof name - 1) == 0)
            return strtoul(head + i + sizeof name - 1, NULL, 10);
    return 0;
}

/* Takes the body out of what was read with the head, and reads the rest of it. */
static bool read_body(struct connection *connection, size_t head, struct request *request)
{
    request->body = malloc(request->length + 1);
    if (!request->body)
        return false;
    size_t have = connection->filled - head;
    have = have < request->length ? have : request->length;
    memcpy(request->body, connection->head + head, have);
    connection->filled -= head + have;
    memmove(connection->head, connection->head + head + have, connection->filled);
    while (have < request->length) {
        ssize_t got = recv(connection->socket, request->body + have, request->length - have, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        have += (size_t)got;
    }
    request->body[have] = '\0';
    return true;
}

/* One request and its answer; false when the connection is over. */
static bool serve_one(struct connection *connection)
{
    struct request request = { .body = NULL };
    size_t head = read_head(connection);
    if (head == 0)
        return false;
    connection->head[head - 1] = '\0';
    request.length = body_length(connection->head, head);
    if (sscanf(connection->head, "%7s %255s", request.method, request.path) != 2 || request.length > BODY_BYTES) {
        respond(connection->socket, 400, "{}");
        return false;
    }
    char *body = NULL;
    bool served = false;
    if (read_body(connection, head, &request)) {
        int status = connection->handler(&request, &body);
        served = respond(connection->socket, status, body);
    }
    free(body);
    free(request.body);
    return served;
}

static void *serve_connection(void *argument)
{
    struct connection *connection = argument;
    while (serve_one(connection))
        ;
    close(connection->socket);
    free(connection);
    return NULL;
}

static void start(int socket, http_handler handler)
{
    struct connection *connection = calloc(1, sizeof *connection);
    pthread_t thread;
    if (connection) {
        *connection = (struct connection){ .socket = socket, .handler = handler };
        if (pthread_create(&thread, NULL, serve_connection, connection) == 0) {
            pthread_detach(thread);
            return;
        }
    }
    free(connection);
    close(socket);
}

int http_serve(http_handler handler)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof address;
    int one = 1;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, length) < 0 || listen(listener, 64) < 0
        || getsockname(listener, (struct sockaddr *)&address, &length) < 0) {
        perror("cannot listen");
        return 1;
    }
    printf("listening on 127.0.0.1:%u\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int socket = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (socket < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (socket < 0) {
            perror("cannot accept");
            return 1;
        }
        setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        start(socket, handler);
    }
}
