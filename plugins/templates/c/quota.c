/* example-policy: one bound for all mailboxes, one for each message, and a warning before.
 *
 * A quota answers with the highest usage that a mailbox may reach, this message included. The host compares it
 * with exact usage when the message is delivered, so that messages arriving together cannot pass it.
 *
 * What the host hands over is ours to free (…_free). What we answer is freed by the binding, so each string
 * in an answer is a copy (plugin_string_dup, never plugin_string_set). */

#define _GNU_SOURCE
#include "plugin.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* MiB, MiB and per cent. */
typedef struct {
    uint64_t mailbox, message, warn;
} settings_t;

/* A whole number from 1 to `most`, what is usual where it is not set, or 0. */
static uint64_t number(const char *name, uint64_t usual, uint64_t most) {
    plugin_string_t path = {(uint8_t *)name, strlen(name)}, found;
    if (!postern_policy_config_get(&path, &found)) return usual;
    uint64_t number = 0;
    for (size_t at = 0; at < found.len; at++) {
        uint8_t digit = found.ptr[at];
        if (digit < '0' || digit > '9' || found.len > 7) {
            number = 0;
            break;
        }
        number = number * 10 + (digit - '0');
    }
    plugin_string_free(&found);
    return number <= most ? number : 0;
}

static settings_t settings(void) {
    return (settings_t){
        .mailbox = number("mailbox", 1024, 1000000),
        .message = number("message", 25, 1000000),
        .warn = number("warn", 90, 100),
    };
}

/* Whether a word is among words with ", " between. */
static bool is_among(const char *words, const char *word, size_t length) {
    for (;;) {
        size_t first = strcspn(words, ",");
        if (first == length && !memcmp(words, word, length)) return true;
        words += first;
        if (!*words) return false;
        words += 2;
    }
}

/* The octet at a place of a text, behind white space; NUL at the end. Moves there. */
static char next(plugin_string_t text, size_t *at) {
    while (*at < text.len && memchr(" \t\r\n", text.ptr[*at], 4)) ++*at;
    return *at < text.len ? (char)text.ptr[*at] : 0;
}

/* Refuses a setting that is not among these, for it may be misspelt, and one that is a list or a map. The host
 * writes all of them as one JSON object; a string of its first level with a colon behind it is a name. */
static bool known(const char *names, plugin_string_t *error) {
    plugin_string_t json;
    char *wrong = NULL;
    postern_policy_config_json(&json);
    for (size_t at = 0, depth = 0; !wrong && at < json.len; at++) {
        if (json.ptr[at] == '{' || json.ptr[at] == '[') depth++;
        if (json.ptr[at] == '}' || json.ptr[at] == ']') depth--;
        if (json.ptr[at] != '"') continue;
        const char *name = (const char *)json.ptr + at + 1;
        while (++at < json.len && json.ptr[at] != '"') at += json.ptr[at] == '\\';
        if (at >= json.len) break;
        size_t length = (size_t)((const char *)json.ptr + at - name), behind = at + 1;
        if (depth > 1 || next(json, &behind) != ':') continue;
        behind++;
        char value = next(json, &behind);
        int made = 0;
        if (!is_among(names, name, length))
            made = asprintf(&wrong, "unknown setting `%.*s`: known are %s", (int)length, name, names);
        else if (value == '[' || value == '{')
            made = asprintf(&wrong, "%.*s must be one value, not a list or a map", (int)length, name);
        if (made < 0) abort();
    }
    if (wrong) plugin_string_dup(error, wrong);
    plugin_string_free(&json);
    bool all = !wrong;
    free(wrong);
    return all;
}

/* Asked when the policy is loaded: false, and the error is what the administrator reads. */
bool exports_postern_policy_lifecycle_validate(plugin_string_t *error) {
    if (!known("mailbox, message, warn", error)) return false;
    settings_t found = settings();
    if (!found.mailbox) plugin_string_dup(error, "mailbox must be a whole number from 1 to 1000000");
    else if (!found.message) plugin_string_dup(error, "message must be a whole number from 1 to 1000000");
    else if (!found.warn) plugin_string_dup(error, "warn must be a whole number from 1 to 100");
    else return true;
    return false;
}

void exports_postern_policy_quota_check(plugin_string_t *mailbox, exports_postern_policy_quota_usage_t *current,
                                        uint64_t incoming, exports_postern_policy_quota_quota_decision_t *decision) {
    settings_t bounds = settings();
    /* They were validated when the policy was loaded. A trap ends the call, and the policy's own file says under
     * `failure` what becomes of the recipient. */
    if (!bounds.mailbox || !bounds.message || !bounds.warn) abort();
    char *text = NULL;
    uint64_t most = bounds.mailbox << 20;
    uint64_t full = (current->bytes + incoming) * 100 / most;
    postern_policy_types_ceiling_t ceiling = {.bytes = {.is_some = true, .val = most}, .messages = {.is_some = false}};
    if (incoming > bounds.message << 20) {
        decision->tag = POSTERN_POLICY_TYPES_QUOTA_DECISION_DENY;
        decision->val.deny.code = 552;
        plugin_string_dup(&decision->val.deny.enhanced, "5.2.3");
        if (asprintf(&text, "a message for %.*s may have %" PRIu64 " MiB", (int)mailbox->len, (char *)mailbox->ptr,
                     bounds.message) < 0) abort();
        plugin_string_dup(&decision->val.deny.text, text);
    } else if (full >= bounds.warn) {
        decision->tag = POSTERN_POLICY_TYPES_QUOTA_DECISION_WARN;
        if (asprintf(&text, "%.*s is %" PRIu64 " %% full", (int)mailbox->len, (char *)mailbox->ptr, full) < 0) abort();
        plugin_string_dup(&decision->val.warn.text, text);
        decision->val.warn.ceiling = ceiling;
    } else {
        decision->tag = POSTERN_POLICY_TYPES_QUOTA_DECISION_ALLOW;
        decision->val.allow = ceiling;
    }
    plugin_string_free(mailbox);
    free(text);
}
