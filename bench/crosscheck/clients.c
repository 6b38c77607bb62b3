/* N connections of one transport, each with a parser: who is ready, who received what, and how late. */
#define _GNU_SOURCE
#include "crosscheck.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PER_SOURCE = 20000 };   /* one address has 28,000 ports for one destination */
enum { UNREADY_AT_ONCE = 64 }; /* opening is no storm: that is another measurement */
enum { TEXT = 1, PONG = 10 };
#define PATIENCE (10 * SECOND)

/* Loopback is a whole network: later clients come from 127.0.0.2 and on. */
static bool bind_source(int sock, const struct options *options, int index)
{
    struct sockaddr_in source = {.sin_family = AF_INET};
    uint32_t first = ntohl(options->server.sin_addr.s_addr);
    int on = 1;
    if (index < PER_SOURCE)
        return true;
    if (first >> 24 != 127)
        give_up("more than %d clients need a server on loopback: take fewer", PER_SOURCE);
    source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(index / PER_SOURCE));
    return !setsockopt(sock, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) &&
           !bind(sock, (struct sockaddr *)&source, sizeof source);
}

/* A socket that blocks for at most 5 s, also to connect: on loopback the kernel shakes hands inside connect(2).
 * Reads ask for MSG_DONTWAIT. Answers -1 with errno set when there is no connection. */
int connected(const struct options *options, int index)
{
    struct timeval patience = {.tv_sec = 5};
    int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (sock < 0)
        return -1;
    setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (bind_source(sock, options, index) &&
        !connect(sock, (const struct sockaddr *)&options->server, sizeof options->server))
        return sock;
    int why = errno;
    close(sock);
    errno = why;
    return -1;
}

static void leave(struct client *client)
{
    struct clients *all = client->all;
    close(client->sock);
    client->sock = -1;
    all->gone++;
    all->arrived += !client->arrived;
    client->arrived = true;
}

static int number_of(const struct client *client)
{
    return (int)(client - client->all->each);
}

/* Before the measurement a lost client means that there is none; in it, that updates are lost. A client that is
 * gone already cannot be lost again. */
static void lose(struct client *client, const char *why)
{
    if (client->sock < 0)
        return;
    if (!client->all->publisher)
        give_up("client %d was not served: %s", number_of(client), why);
    fprintf(stderr, "crosscheck: client %d is lost: %s\n", number_of(client), why);
    leave(client);
}

static void say(struct client *client, const void *bytes, size_t length)
{
    if (client->sock >= 0 && send(client->sock, bytes, length, MSG_NOSIGNAL) != (ssize_t)length)
        lose(client, strerror(errno));
}

static void say_frame(struct client *client, int opcode, struct span payload)
{
    unsigned char frame[512];
    say(client, frame, frame_masked(frame, opcode, payload));
}

static void subscribe(struct client *client)
{
    char text[256];
    int length = snprintf(text, sizeof text,
                          "{\"command\":\"subscribe\",\"identifier\":"
                          "\"{\\\"channel\\\":\\\"DashboardUpdatesChannel\\\",\\\"stream\\\":\\\"%s\\\"}\"}",
                          client->all->options->stream);
    say_frame(client, TEXT, (struct span){text, (size_t)length});
}

static void ask(struct client *client)
{
    const struct options *options = client->all->options;
    char request[512];
    int length = options->transport == SSE
                     ? snprintf(request, sizeof request,
                                "GET /dashboard/stream?stream=%s HTTP/1.1\r\nHost: %s\r\n"
                                "Accept: text/event-stream\r\n\r\n",
                                options->stream, options->host)
                     : snprintf(request, sizeof request,
                                "GET /cable HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                "Sec-WebSocket-Key: " SAMPLE_KEY "\r\nSec-WebSocket-Version: 13\r\n"
                                "Sec-WebSocket-Protocol: " CABLE_PROTOCOL "\r\n\r\n",
                                options->host);
    say(client, request, (size_t)length);
}

static void take_update(struct client *client, const struct heard *heard)
{
    struct clients *all = client->all;
    const struct publisher *publisher = all->publisher;
    int64_t seq = heard->seq;
    if (!publisher || heard->t < publisher->start) /* the newest state, which a stream may start with */
        return;
    if (seq < 1 || seq >= publisher->next || heard->t != publisher_intended(publisher, seq))
        give_up("an update came that was not published here: give this run a stream of its own");
    books_enter(&all->books, number_of(client), seq);
    all->heard_at = all->read_at;
    if (seq > publisher->warm)
        histogram_enter(&all->latencies, all->read_at - heard->t);
    if (seq == publisher->updates && !client->arrived) {
        client->arrived = true;
        all->arrived++;
    }
}

static void listen_to(void *who, const struct heard *heard)
{
    struct client *client = who;
    if (heard->word == UPDATE) {
        take_update(client, heard);
    } else if (heard->word == PING) {
        say_frame(client, PONG, heard->payload);
    } else if (heard->word == WELCOME) {
        subscribe(client);
    } else if (!client->ready) {
        client->ready = true;
        client->all->ready++;
    }
}

/* One read; what it leaves, the next round of epoll tells of. */
void client_hear(struct client *client)
{
    static char bytes[64 * 1024];
    ssize_t length = recv(client->sock, bytes, sizeof bytes, MSG_DONTWAIT);
    client->all->read_at = now();
    if (length < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (length > 0)
        parser_feed(&client->parser, bytes, (size_t)length);
    if (*client->parser.fault)
        give_up("client %d cannot read the server: %s", number_of(client), client->parser.fault);
    if (length <= 0 || client->parser.ended)
        lose(client, length < 0 ? strerror(errno) : "the server ended the connection");
}

void watch(int poll, int file, void *who)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = who};
    if (epoll_ctl(poll, EPOLL_CTL_ADD, file, &event))
        give_up("the kernel watches no more connections (%s): take fewer clients", strerror(errno));
}

static void begin(struct clients *clients, int poll)
{
    struct client *client = &clients->each[clients->begun];
    client->all = clients;
    client->sock = connected(clients->options, clients->begun++);
    if (client->sock < 0)
        give_up("client %d cannot connect to %s (%s): is the server running there?", number_of(client),
                clients->options->host, strerror(errno));
    watch(poll, client->sock, client);
    parser_begin(&client->parser, clients->options->transport, listen_to, client);
    ask(client);
}

static void hear_some(struct clients *clients, int poll, int64_t deadline)
{
    struct epoll_event events[UNREADY_AT_ONCE];
    int64_t left = (deadline - now()) / MILLISECOND;
    if (left < 0)
        give_up("%d of %d clients were ready, then none in %d s: does the server speak this transport at this port?",
                clients->ready, clients->options->clients, (int)(PATIENCE / SECOND));
    int count = epoll_wait(poll, events, UNREADY_AT_ONCE, (int)left + 1);
    for (int index = 0; index < count; index++)
        client_hear(events[index].data.ptr);
}

void clients_open(struct clients *clients, const struct options *options, int poll)
{
    *clients = (struct clients){.options = options};
    clients->each = calloc((size_t)options->clients, sizeof *clients->each);
    if (!clients->each)
        give_up("no memory for %d clients: take fewer", options->clients);
    int64_t progress = now();
    while (clients->ready < options->clients) {
        int before = clients->ready;
        while (clients->begun < options->clients && clients->begun - clients->ready < UNREADY_AT_ONCE)
            begin(clients, poll);
        hear_some(clients, poll, progress + PATIENCE);
        if (clients->ready > before)
            progress = now();
    }
}

void clients_expect(struct clients *clients, const struct publisher *publisher)
{
    books_open(&clients->books, clients->options->clients, publisher->updates);
    clients->publisher = publisher;
}

void clients_close(struct clients *clients)
{
    for (struct client *client = clients->each; client < clients->each + clients->begun; client++) {
        if (client->sock >= 0)
            close(client->sock);
        parser_end(&client->parser);
    }
    books_close(&clients->books);
    free(clients->each);
}
