/* As much HTTP/1.1 as a client of streams needs: response heads (RFC 9112 section 4) and chunks (section 7.1). */
#include "crosscheck.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

int head_status(const char *head)
{
    int minor, status;
    return sscanf(head, "HTTP/1.%1d %3d", &minor, &status) == 2 ? status : 0;
}

void head_value(const char *head, const char *name, char *value, size_t room)
{
    size_t length = strlen(name);
    value[0] = '\0';
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, length) || line[2 + length] != ':')
            continue;
        const char *start = line + 3 + length;
        start += strspn(start, " \t");
        snprintf(value, room, "%.*s", (int)strcspn(start, " \t\r\n"), start);
        return;
    }
}

static void want(struct chunks *chunks, char byte, char wanted, int next)
{
    chunks->state = byte == wanted ? next : BROKEN;
}

static void size_byte(struct chunks *chunks, char byte)
{
    if (isxdigit((unsigned char)byte) && chunks->digits < 15) {
        int digit = byte <= '9' ? byte - '0' : (byte | 0x20) - 'a' + 10;
        chunks->left = chunks->left * 16 + (uint64_t)digit;
        chunks->digits++;
    } else if (chunks->digits && (byte == ';' || byte == ' ' || byte == '\t')) {
        chunks->state = EXTENSION;
    } else {
        chunks->state = chunks->digits && byte == '\r' ? SIZE_LF : BROKEN;
    }
}

static void framing_byte(struct chunks *chunks, char byte)
{
    switch (chunks->state) {
    case SIZE:
        size_byte(chunks, byte);
        break;
    case EXTENSION:
        if (byte == '\r')
            chunks->state = SIZE_LF;
        break;
    case SIZE_LF:
        want(chunks, byte, '\n', chunks->left ? DATA : LAST);
        break;
    case DATA_CR:
        want(chunks, byte, '\r', DATA_LF);
        break;
    case DATA_LF:
        want(chunks, byte, '\n', SIZE);
        chunks->digits = 0;
        break;
    default: /* DATA is not framing; after LAST come trailers, which nobody here needs */
        break;
    }
}

bool chunks_next(struct chunks *chunks, struct span *rest, struct span *body)
{
    while (rest->length > 0 && chunks->state != DATA && chunks->state != BROKEN) {
        framing_byte(chunks, *rest->bytes++);
        rest->length--;
    }
    if (rest->length == 0 || chunks->state == BROKEN)
        return false;
    body->bytes = rest->bytes;
    body->length = rest->length < chunks->left ? rest->length : (size_t)chunks->left;
    rest->bytes += body->length;
    rest->length -= body->length;
    chunks->left -= body->length;
    if (chunks->left == 0)
        chunks->state = DATA_CR;
    return true;
}
