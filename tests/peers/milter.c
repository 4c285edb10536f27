/*
 * A milter that does what plugins/tag-subject does as it is shipped: "[EXTERNAL] " before the subject of mail from
 * sessions without a login, once, also behind "Re: " and list labels. A message without a subject gets one.
 *
 * milter SOCKET, as smfi_setconn(3) spells it. Ends at SIGTERM.
 */
#include <ctype.h>
#include <libmilter/mfapi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TAG "[EXTERNAL]"

struct mail {
    char *subject; /* the first one's value, or NULL */
    int known;     /* its sender has logged in */
};

static const char *after_space(const char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    return text;
}

/* Behind one list label of at most 40 octets or one word of at most 6 with its colon; NULL where there is none. */
static const char *behind_prefix(const char *text)
{
    const char *end;

    if (*text == '[' && (end = strchr(text, ']')) != NULL && end - text - 1 <= 40)
        return end + 1;
    end = strpbrk(text, ": \t\r\n");
    if (end != NULL && *end == ':' && end - text >= 1 && end - text <= 6)
        return end + 1;
    return NULL;
}

static int begins_with_tag(const char *subject)
{
    for (const char *rest = subject; rest != NULL; rest = behind_prefix(rest)) {
        rest = after_space(rest);
        if (strncasecmp(rest, TAG, strlen(TAG)) == 0)
            return 1;
    }
    return 0;
}

static void forget(struct mail *mail)
{
    free(mail->subject);
    mail->subject = NULL;
    mail->known = 0;
}

static sfsistat on_connect(SMFICTX *ctx, char *host, _SOCK_ADDR *address)
{
    struct mail *mail = calloc(1, sizeof *mail);

    (void)host;
    (void)address;
    if (mail == NULL)
        return SMFIS_TEMPFAIL;
    smfi_setpriv(ctx, mail);
    return SMFIS_CONTINUE;
}

static sfsistat on_mail(SMFICTX *ctx, char **arguments)
{
    struct mail *mail = smfi_getpriv(ctx);

    (void)arguments;
    forget(mail);
    mail->known = smfi_getsymval(ctx, "{auth_type}") != NULL;
    return SMFIS_CONTINUE;
}

static sfsistat on_header(SMFICTX *ctx, char *name, char *value)
{
    struct mail *mail = smfi_getpriv(ctx);

    if (mail->subject == NULL && strcasecmp(name, "Subject") == 0 && (mail->subject = strdup(value)) == NULL)
        return SMFIS_TEMPFAIL;
    return SMFIS_CONTINUE;
}

static sfsistat on_message(SMFICTX *ctx)
{
    struct mail *mail = smfi_getpriv(ctx);
    const char *kept = mail->subject == NULL ? "" : after_space(mail->subject);
    size_t room = strlen(TAG) + 1 + strlen(kept) + 1;
    char *tagged;
    int done;

    if (mail->known || begins_with_tag(kept))
        return SMFIS_CONTINUE;
    if ((tagged = malloc(room)) == NULL)
        return SMFIS_TEMPFAIL;
    snprintf(tagged, room, "%s%s%s", TAG, *kept == '\0' ? "" : " ", kept);
    if (mail->subject == NULL)
        done = smfi_addheader(ctx, "Subject", tagged);
    else
        done = smfi_chgheader(ctx, "Subject", 1, tagged);
    free(tagged);
    return done == MI_SUCCESS ? SMFIS_ACCEPT : SMFIS_TEMPFAIL;
}

static sfsistat on_abort(SMFICTX *ctx)
{
    forget(smfi_getpriv(ctx));
    return SMFIS_CONTINUE;
}

static sfsistat on_close(SMFICTX *ctx)
{
    struct mail *mail = smfi_getpriv(ctx);

    if (mail != NULL) {
        forget(mail);
        free(mail);
        smfi_setpriv(ctx, NULL);
    }
    return SMFIS_CONTINUE;
}

/* Asks for what it looks at, and for no answer in between. */
static sfsistat on_negotiate(SMFICTX *ctx, unsigned long offered_actions, unsigned long offered_steps, unsigned long f2,
                             unsigned long f3, unsigned long *actions, unsigned long *steps, unsigned long *out2,
                             unsigned long *out3)
{
    unsigned long wanted = SMFIF_ADDHDRS | SMFIF_CHGHDRS;

    (void)ctx;
    (void)f2;
    (void)f3;
    if ((offered_actions & wanted) != wanted)
        return SMFIS_REJECT;
    *actions = wanted;
    *steps = offered_steps & (SMFIP_NOHELO | SMFIP_NORCPT | SMFIP_NOBODY | SMFIP_NOEOH | SMFIP_NOUNKNOWN | SMFIP_NODATA |
                              SMFIP_NR_HDR | SMFIP_NR_CONN | SMFIP_NR_MAIL);
    *out2 = 0;
    *out3 = 0;
    return SMFIS_CONTINUE;
}

int main(int count, char **arguments)
{
    struct smfiDesc description = {
        .xxfi_name = "tag-subject",
        .xxfi_version = SMFI_VERSION,
        .xxfi_flags = SMFIF_ADDHDRS | SMFIF_CHGHDRS,
        .xxfi_connect = on_connect,
        .xxfi_envfrom = on_mail,
        .xxfi_header = on_header,
        .xxfi_eom = on_message,
        .xxfi_abort = on_abort,
        .xxfi_close = on_close,
        .xxfi_negotiate = on_negotiate,
    };

    if (count != 2) {
        fprintf(stderr, "milter: name its socket, such as unix:/tmp/milter.sock\n");
        return 1;
    }
    if (smfi_setconn(arguments[1]) != MI_SUCCESS || smfi_register(description) != MI_SUCCESS) {
        fprintf(stderr, "milter: %s is no socket that it could make\n", arguments[1]);
        return 1;
    }
    return smfi_main() == MI_SUCCESS ? 0 : 1;
}
