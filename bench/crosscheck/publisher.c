/* The open-loop publisher: a schedule of intended moments that a slow server does not move.
 *
 * One publish is in flight at a time, so that the order on the wire is the order of the schedule. When an answer is
 * late the next publish leaves late, and its latency still counts from the intended moment.
 */
#define _GNU_SOURCE
#include "crosscheck.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { ROOM = 64 * 1024 };

void publisher_open(struct publisher *publisher, const struct options *options)
{
    int on = 1;
    *publisher = (struct publisher){.options = options, .next = 1};
    publisher->sock = connected(options, 0);
    if (publisher->sock < 0)
        give_up("the publisher cannot connect to %s: is the server running there?", options->host);
    setsockopt(publisher->sock, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

int64_t publisher_intended(const struct publisher *publisher, int64_t seq)
{
    return publisher->start + (int64_t)((double)(seq - 1) * SECOND / publisher->options->rate);
}

/* An update of `size` bytes, more when it does not fit: figures that change, as a dashboard's do, and filling. */
static int write_update(char *json, const struct publisher *publisher, int64_t seq)
{
    int length = sprintf(json,
                         "{\"seq\":%lld,\"t\":%lld,\"status\":{\"status\":\"online\",\"uptime\":99.%lld},"
                         "\"metrics\":{\"cpu\":%lld.%lld,\"memory\":%lld.5,\"disk\":61.0},\"trace\":\"",
                         (long long)seq, (long long)publisher_intended(publisher, seq), (long long)(seq % 10),
                         (long long)(seq * 37 % 100), (long long)(seq % 7), (long long)(seq * 53 % 100));
    for (unsigned value = (unsigned)seq; length < publisher->options->size - 2; value = value * 2654435761u + 1)
        json[length++] = "0123456789abcdef"[value >> 28];
    return length + sprintf(json + length, "\"}");
}

void publisher_send_next(struct publisher *publisher)
{
    static char json[ROOM], request[ROOM + 1024];
    int body = write_update(json, publisher, publisher->next++);
    int length = sprintf(request,
                         "POST /streams/%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n"
                         "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%.*s",
                         publisher->options->stream, publisher->options->host, publisher->options->token, body, body,
                         json);
    /* The socket blocks while writing; with one publish in flight its buffer is empty and it never does. */
    if (send(publisher->sock, request, (size_t)length, MSG_NOSIGNAL) != length)
        give_up("a publish could not be sent (%s): look at the server's output", strerror(errno));
    publisher->waiting = true;
}

/* Whether the answer is whole. */
static bool read_answer(const char *answer, size_t have)
{
    char length[24], transfer[24];
    const char *end = strstr(answer, "\r\n\r\n");
    if (!end)
        return false;
    head_value(answer, "content-length", length, sizeof length);
    head_value(answer, "transfer-encoding", transfer, sizeof transfer);
    if (head_status(answer) != 201)
        give_up("a publish was answered with HTTP %d: are --token and --stream right, and is this the server?",
                head_status(answer));
    if (*transfer)
        give_up("a publish was answered in %s coding: this program reads answers with a content-length", transfer);
    return have >= (size_t)(end + 4 - answer) + strtoul(length, NULL, 10);
}

bool publisher_hear(struct publisher *publisher)
{
    char *free_place = publisher->answer + publisher->have;
    size_t room = sizeof publisher->answer - publisher->have - 1;
    ssize_t length = recv(publisher->sock, free_place, room, MSG_DONTWAIT);
    if (length < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (length <= 0)
        give_up("the server closed the publisher's connection: look at the server's output");
    if (!publisher->waiting)
        give_up("the server answered a publish twice: look at what stands between");
    publisher->have += (size_t)length;
    publisher->answer[publisher->have] = '\0';
    if (!read_answer(publisher->answer, publisher->have))
        return false;
    publisher->have = 0;
    publisher->waiting = false;
    return true;
}
