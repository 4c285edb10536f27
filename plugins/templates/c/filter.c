/* example-policy: refuses messages with a phrase, and counts those of each sender.
 *
 * A filter answers with a verdict: accept, reject (5xx), defer (4xx), discard or quarantine. The first that does
 * not accept ends the question. on_message is asked after the final dot, before the 250.
 *
 * What the host hands over is ours to free (…_free). What we answer is freed by the binding, so each string
 * in an answer is a copy (plugin_string_dup, never plugin_string_set). Arguments of calls stay ours. */

#define _GNU_SOURCE
#include "plugin.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECE (64u << 10)
#define PHRASE 200

/* What the administrator wrote in the file beside the component. */
typedef struct {
    char phrase[PHRASE + 1];
    size_t length;
    long hourly;
} settings_t;

/* A string of the contract has a length and no NUL at its end. */
static plugin_string_t borrowed(const char *text) {
    return (plugin_string_t){(uint8_t *)text, strlen(text)};
}

/* The setting, or what is usual where it is not set, cut to fit; its whole length. */
static size_t setting(const char *name, const char *usual, char *text, size_t room) {
    plugin_string_t path = borrowed(name), found;
    if (!postern_policy_config_get(&path, &found)) plugin_string_dup(&found, usual);
    size_t length = found.len, fits = length < room ? length : room - 1;
    memcpy(text, found.ptr, fits);
    text[fits] = 0;
    plugin_string_free(&found);
    return length;
}

/* A whole number from 1 to `most`, or 0. */
static long whole(const char *text, size_t length, long most) {
    if (length < 1 || length > 7 || strspn(text, "0123456789") != length) return 0;
    long number = atol(text);
    return number <= most ? number : 0;
}

/* What is wrong, or NULL. */
static const char *read_settings(settings_t *settings) {
    char hourly[16];
    settings->length = setting("phrase", "wire the money", settings->phrase, sizeof settings->phrase);
    if (settings->length < 1 || settings->length > PHRASE) return "phrase must have 1 to 200 octets";
    size_t length = setting("hourly", "100", hourly, sizeof hourly);
    settings->hourly = whole(hourly, length, 1000000);
    return settings->hourly ? NULL : "hourly must be a whole number from 1 to 1000000";
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
    if (!known("phrase, hourly", error)) return false;
    settings_t settings;
    const char *wrong = read_settings(&settings);
    if (wrong) plugin_string_dup(error, wrong);
    return !wrong;
}

static uint8_t lower(uint8_t octet) { return octet >= 'A' && octet <= 'Z' ? octet + 'a' - 'A' : octet; }

/* Without regard to capital and small letters from A to Z; mail has octets that are no text, NUL among them. */
static bool contains(const uint8_t *octets, size_t length, const settings_t *settings) {
    for (size_t at = 0; at + settings->length <= length; at++) {
        size_t same = 0;
        while (same < settings->length && lower(octets[at + same]) == lower((uint8_t)settings->phrase[same])) same++;
        if (same == settings->length) return true;
    }
    return false;
}

static bool subject_contains(const settings_t *settings) {
    plugin_string_t name = borrowed("Subject"), subject;
    if (!postern_policy_message_header_text(&name, &subject)) return false;
    bool found = contains(subject.ptr, subject.len, settings);
    plugin_string_free(&subject);
    return found;
}

/* Reads the body in pieces: one reading gives at most 64 KiB. */
static bool body_contains(const settings_t *settings) {
    /* Before a piece lies the end of the one before: the phrase may lie across. */
    static uint8_t window[PHRASE + PIECE];
    size_t kept = 0;
    uint32_t offset = postern_policy_message_body_offset();
    for (;;) {
        plugin_list_u8_t piece;
        postern_policy_message_read(offset, PIECE, &piece);
        size_t length = piece.len;
        if (length) memcpy(window + kept, piece.ptr, length);
        plugin_list_u8_free(&piece);
        if (!length) return false;
        offset += length;
        if (contains(window, kept + length, settings)) return true;
        size_t wanted = settings->length - 1, held = kept + length;
        kept = wanted < held ? wanted : held;
        memmove(window, window + held - kept, kept);
    }
}

/* A text as printf has it; free() it. */
static char *written(const char *format, ...) __attribute__((format(printf, 1, 2)));
static char *written(const char *format, ...) {
    va_list arguments;
    char *text = NULL;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0) abort();
    va_end(arguments);
    return text;
}

static void refuse(exports_postern_policy_message_filter_verdict_t *verdict, uint16_t code, const char *enhanced,
                   const char *text) {
    bool final = code >= 500;
    postern_policy_types_reply_t *reply = final ? &verdict->val.reject : &verdict->val.defer;
    verdict->tag = final ? POSTERN_POLICY_TYPES_VERDICT_REJECT : POSTERN_POLICY_TYPES_VERDICT_DEFER;
    reply->code = code;
    plugin_string_dup(&reply->enhanced, enhanced);
    plugin_string_dup(&reply->text, text);
}

/* How many messages of this sender there were in this hour; 0 where nothing can be counted. */
static int64_t counted(const char *sender) {
    char *text = written("sent/%s", sender);
    plugin_string_t key = borrowed(text), error;
    int64_t count = 0;
    /* A missing key counts as 0; it is forgotten an hour after it was made. */
    bool ok = postern_policy_kv_increment(&key, 1, 3600, &count, &error);
    free(text);
    if (ok) return count;
    text = written("not counted: %.*s", (int)error.len, (char *)error.ptr);
    plugin_string_free(&error);
    plugin_string_t line = borrowed(text);
    postern_policy_log_warn(&line);
    free(text);
    return 0;
}

void exports_postern_policy_message_filter_on_message(exports_postern_policy_message_filter_verdict_t *verdict) {
    settings_t settings;
    /* They were validated when the policy was loaded. A trap ends the call, and the policy's own file says under
     * `failure` what becomes of the message. */
    if (read_settings(&settings)) abort();
    if (subject_contains(&settings) || body_contains(&settings)) {
        char *text = written("\"%s\" is not taken here", settings.phrase);
        refuse(verdict, 550, "5.7.1", text);
        free(text);
        return;
    }
    postern_policy_mime_list_part_t parts;
    postern_policy_mime_parts(&parts);
    size_t number = parts.len;
    postern_policy_mime_list_part_free(&parts);

    plugin_string_t from;
    postern_policy_session_mail_from(&from);
    char *sender = written("%.*s", (int)from.len, (char *)from.ptr);
    plugin_string_free(&from);
    int64_t count = *sender ? counted(sender) : 0;
    if (count > settings.hourly) {
        char *text = written("too many messages from %s, try again in an hour", sender);
        refuse(verdict, 450, "4.7.1", text);
        free(text);
        free(sender);
        return;
    }
    free(sender);

    unsigned long body = postern_policy_message_size() - postern_policy_message_body_offset();
    char *mark = written("%lu octets, %zu part%s", body, number, number == 1 ? "" : "s");
    if (count > 0) {
        char *more = written("%s; message %lld of this hour", mark, (long long)count);
        free(mark);
        mark = more;
    }
    plugin_string_t name = borrowed("X-Example-Policy"), value = borrowed(mark);
    postern_policy_edit_add_header(&name, &value);
    free(mark);
    verdict->tag = POSTERN_POLICY_TYPES_VERDICT_ACCEPT;
}
