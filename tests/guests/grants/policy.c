/* grants: what the capabilities that are granted by name know of a sender, each in a header field.
 *
 * Each of their functions is a bool: true and the value, or false and the error, behind pointers of their own. Only
 * the one that was answered is set, and is to be freed. The error is text: `not granted` where the administrator's
 * file grants nothing, else what is outside of the grant, or what went wrong. It ends nothing: this filter says it in
 * the field, and accepts. */

#define _GNU_SOURCE
#include "plugin.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Seconds. */
#define DAY 86400
/* Octets of what others wrote that are shown. */
#define SHOWN 100

/* A string as printf takes it for `%.*s`. */
#define TEXT(string) (int)(string).len, (char *)(string).ptr

/* A string of the contract has a length and no NUL at its end. This one stays ours. */
static plugin_string_t borrowed(const char *text) {
    return (plugin_string_t){(uint8_t *)text, strlen(text)};
}

/* The same as octets. */
static plugin_list_u8_t octets_of(plugin_string_t text) {
    return (plugin_list_u8_t){text.ptr, text.len};
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

/* The beginning of octets as text; free() it. They may be anything, and a string that is no UTF-8 would end the call:
 * what is no ASCII is a question mark. */
static char *shown(plugin_list_u8_t octets) {
    size_t length = octets.len < SHOWN ? octets.len : SHOWN;
    char *text = malloc(length + 1);
    if (!text) abort();
    for (size_t at = 0; at < length; at++) {
        uint8_t octet = octets.ptr[at];
        text[at] = octet >= ' ' && octet <= '~' ? (char)octet : '?';
    }
    text[length] = 0;
    return text;
}

/* An error in place of what was asked for. */
static char *failed(plugin_string_t *error) {
    char *text = written("error: %.*s", TEXT(*error));
    plugin_string_free(error);
    return text;
}

/* The sender's last message, in whose place this one is put. */
static char *ask_kv(plugin_string_t sender) {
    char *name = written("last/%.*s", TEXT(sender)), *text;
    plugin_string_t key = borrowed(name), this, error;
    plugin_option_list_u8_t last;
    if (!postern_policy_kv_get(&key, &last, &error)) {
        free(name);
        return failed(&error);
    }
    postern_policy_session_queue_id(&this);
    plugin_list_u8_t value = octets_of(this);
    bool is_set;
    /* Of two messages at once only one finds what it read still there. What is not there is NULL. */
    if (!postern_policy_kv_compare_and_set(&key, last.is_some ? &last.val : NULL, &value, DAY, &is_set, &error))
        text = failed(&error);
    else if (!is_set)
        text = written("another at the same time");
    else if (last.is_some) {
        char *id = shown(last.val);
        text = written("after %s", id);
        free(id);
    } else
        text = written("the first");
    plugin_option_list_u8_free(&last);
    plugin_string_free(&this);
    free(name);
    return text;
}

/* Where the sender's domain takes mail; an empty list where it has no MX. */
static char *ask_dns(plugin_string_t sender) {
    const uint8_t *at = sender.len ? memrchr(sender.ptr, '@', sender.len) : NULL;
    size_t before = at ? (size_t)(at + 1 - sender.ptr) : 0;
    plugin_string_t domain = {sender.ptr + before, sender.len - before}, error;
    plugin_list_string_t exchanges;
    if (!postern_policy_dns_mx(&domain, &exchanges, &error)) return failed(&error);
    char *text = written("%s", "");
    for (size_t place = 0; place < exchanges.len; place++) {
        char *longer = written("%s%s%.*s", text, place ? ", " : "", TEXT(exchanges.ptr[place]));
        free(text);
        text = longer;
    }
    plugin_list_string_free(&exchanges);
    return text;
}

/* The mailbox behind the sender's address, if it is one of ours. */
static char *ask_directory(plugin_string_t sender) {
    plugin_string_t error;
    plugin_option_string_t mailbox;
    if (!postern_policy_directory_mailbox_of(&sender, &mailbox, &error)) return failed(&error);
    char *text = mailbox.is_some ? written("%.*s", TEXT(mailbox.val)) : written("nobody here");
    plugin_option_string_free(&mailbox);
    return text;
}

/* What a service says about the sender. */
static char *ask_http(plugin_string_t sender) {
    plugin_string_t setting = borrowed("url"), url, error;
    if (!postern_policy_config_get(&setting, &url)) plugin_string_dup(&url, "https://api.example.com/reputation");
    postern_policy_types_header_field_t type = {borrowed("Content-Type"), octets_of(borrowed("text/plain"))};
    postern_policy_http_http_request_t request = {
        .method = borrowed("POST"),
        .url = url,
        .headers = {&type, 1},
        .body = octets_of(sender),
        /* What the grant gives one request. */
        .timeout_ms = 0,
    };
    postern_policy_http_http_response_t answer;
    bool is_answered = postern_policy_http_send(&request, &answer, &error);
    plugin_string_free(&url);
    if (!is_answered) return failed(&error);
    char *body = shown(answer.body), *text = written("%u %s", answer.status, body);
    free(body);
    postern_policy_http_http_response_free(&answer);
    return text;
}

static void tell(const char *field, char *text) {
    plugin_string_t name = borrowed(field), value = borrowed(text);
    postern_policy_edit_add_header(&name, &value);
    free(text);
}

void exports_postern_policy_message_filter_on_message(exports_postern_policy_message_filter_verdict_t *verdict) {
    plugin_string_t sender;
    postern_policy_session_mail_from(&sender);
    tell("X-Kv", ask_kv(sender));
    tell("X-Dns", ask_dns(sender));
    tell("X-Directory", ask_directory(sender));
    tell("X-Http", ask_http(sender));
    plugin_string_free(&sender);
    verdict->tag = POSTERN_POLICY_TYPES_VERDICT_ACCEPT;
}
