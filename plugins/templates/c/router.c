/* example-policy: one address for a team, addresses with a detail behind a plus, and one that is closed.
 *
 * A router says where mail for an address goes: pass (not mine, the next is asked), local, rewrite (ask again for
 * these), relay, discard, reject or defer. The first that does not pass decides.
 *
 * What the host hands over is ours to free (…_free). What we answer is freed by the binding, so each string
 * in an answer is a copy (plugin_string_dup, never plugin_string_set), and a list comes from malloc. */

#define _GNU_SOURCE
#include "plugin.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Setting `name` with a NUL behind it, empty where it is not set; free() it. */
static char *setting(const char *name) {
    plugin_string_t path = {(uint8_t *)name, strlen(name)}, found;
    if (!postern_policy_config_get(&path, &found)) return strdup("");
    char *text = strndup((char *)found.ptr, found.len);
    plugin_string_free(&found);
    return text;
}

static bool is_address(const char *text, size_t length) {
    const char *at = memrchr(text, '@', length);
    return at && at > text && at + 1 < text + length;
}

/* The next of the members, without the spaces around; `from` moves behind it and is NULL after the last. */
static const char *member(const char **from, size_t *length) {
    const char *start = *from + strspn(*from, " "), *end = strchrnul(start, ',');
    *from = *end ? end + 1 : NULL;
    while (end > start && end[-1] == ' ') end--;
    *length = (size_t)(end - start);
    return start;
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
    if (!known("team, members, closed", error)) return false;
    char *members = setting("members");
    bool valid = true;
    for (const char *from = members; from && valid;) {
        size_t length;
        const char *start = member(&from, &length);
        valid = is_address(start, length);
        char *text = NULL;
        if (valid) continue;
        if (asprintf(&text, "members: `%.*s` is no address", (int)length, start) < 0) abort();
        plugin_string_dup(error, text);
        free(text);
    }
    free(members);
    return valid;
}

static void rewrite(exports_postern_policy_router_route_t *route, size_t number) {
    route->tag = POSTERN_POLICY_TYPES_ROUTE_REWRITE;
    route->val.rewrite.ptr = malloc(number * sizeof(plugin_string_t));
    route->val.rewrite.len = 0;
}

static void rewrite_to_members(exports_postern_policy_router_route_t *route) {
    char *members = setting("members");
    size_t number = 1;
    for (const char *comma = members; (comma = strchr(comma, ',')); comma++) number++;
    rewrite(route, number);
    for (const char *from = members; from;) {
        size_t length;
        const char *start = member(&from, &length);
        plugin_string_dup_n(&route->val.rewrite.ptr[route->val.rewrite.len++], start, length);
    }
    free(members);
}

static bool is_setting(const char *name, const char *recipient) {
    char *text = setting(name);
    bool same = *text && !strcmp(text, recipient);
    free(text);
    return same;
}

/* The domain of `recipient` is in small letters. */
void exports_postern_policy_router_resolve(plugin_string_t *recipient, exports_postern_policy_router_route_t *route) {
    char *address = strndup((char *)recipient->ptr, recipient->len), *text = NULL;
    plugin_string_free(recipient);
    char *at = strrchr(address, '@'), *plus = strchr(address, '+');
    if (is_setting("closed", address)) {
        route->tag = POSTERN_POLICY_TYPES_ROUTE_REJECT;
        route->val.reject.code = 550;
        plugin_string_dup(&route->val.reject.enhanced, "5.1.1");
        if (asprintf(&text, "%s is closed", address) < 0) abort();
        plugin_string_dup(&route->val.reject.text, text);
    } else if (is_setting("team", address)) {
        rewrite_to_members(route);
    } else if (at && plus && plus > address && plus < at) {
        if (asprintf(&text, "%.*s%s", (int)(plus - address), address, at) < 0) abort();
        rewrite(route, 1);
        plugin_string_dup(&route->val.rewrite.ptr[route->val.rewrite.len++], text);
    } else {
        route->tag = POSTERN_POLICY_TYPES_ROUTE_PASS;
    }
    free(text);
    free(address);
}
