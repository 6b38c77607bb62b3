/* The few values of a JSON text that matter here. Walks every byte, builds nothing, allocates nothing. */
#include "crosscheck.h"

#include <string.h>

static const char *skip_spaces(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n'))
        at++;
    return at;
}

/* The closing quote of the string whose first character is `at`; NULL when there is none. */
static const char *string_end(const char *at, const char *end)
{
    for (; at < end; at++) {
        if (*at == '"')
            return at;
        if (*at == '\\' && ++at == end)
            break;
    }
    return NULL;
}

static bool integer(const char *at, const char *end, int64_t *value)
{
    const char *first = at;
    for (*value = 0; at < end && *at >= '0' && *at <= '9'; at++) {
        if (at - first == 18) /* the next digit could overflow */
            return false;
        *value = *value * 10 + (*at - '0');
    }
    return at > first;
}

/* Leaves `value` as it is when there is no string, or one longer than any word that is known here. */
static void copy_string(const char *at, const char *end, char *value, size_t room)
{
    const char *close = at < end && *at == '"' ? string_end(at + 1, end) : NULL;
    if (!close || (size_t)(close - at) > room)
        return;
    memcpy(value, at + 1, (size_t)(close - at - 1));
    value[close - at - 1] = '\0';
}

static bool is(struct span key, const char *name)
{
    return key.length == strlen(name) && !memcmp(key.bytes, name, key.length);
}

/* The first "seq" and "t" count, at whatever depth: the update is the whole text of an event but one value of a
 * cable frame. A "type" is a frame's own only at the top: the publisher's JSON may hold another. */
static void take_member(struct note *note, struct span key, const char *at, const char *end, int depth)
{
    if (is(key, "seq") && !note->has_seq)
        note->has_seq = integer(at, end, &note->seq);
    else if (is(key, "t") && !note->has_t)
        note->has_t = integer(at, end, &note->t);
    else if (is(key, "type") && depth == 1)
        copy_string(at, end, note->type, sizeof note->type);
}

/* Reads a string, and its value if it is a key; answers what follows the string, NULL when it does not end. */
static const char *take_string(struct note *note, const char *at, const char *end, int depth)
{
    const char *close = string_end(at + 1, end);
    if (!close)
        return NULL;
    const char *colon = skip_spaces(close + 1, end);
    if (colon < end && *colon == ':') {
        struct span key = {at + 1, (size_t)(close - at - 1)};
        take_member(note, key, skip_spaces(colon + 1, end), end, depth);
    }
    return close + 1;
}

bool json_read(const char *text, size_t length, struct note *note)
{
    const char *at = text, *end = text + length;
    int depth = 0;
    *note = (struct note){0};
    while (at < end) {
        if (*at == '"') {
            at = take_string(note, at, end, depth);
            if (!at)
                return false;
            continue;
        }
        depth += (*at == '{' || *at == '[') - (*at == '}' || *at == ']');
        if (depth < 0)
            return false;
        at++;
    }
    return length > 0 && depth == 0;
}
