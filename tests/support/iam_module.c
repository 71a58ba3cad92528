/* Stands in for MemoryDB where a user logs in by IAM: a module for Valkey or Redis (7.2 and later)
 * that recomputes the signature of the token (AWS's documentation of SigV4) and cuts a connection
 * whose login was not repeated in time. What it refuses falls through to the user's passwords, of
 * which there are none, so that the server says WRONGPASS as MemoryDB does.
 *
 *     loadmodule iam.so CLUSTER REGION KEY SECRET SESSION_MS
 *
 * What it needs of the server is declared here: the whole header is not ours to carry. */
#define _GNU_SOURCE
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct RedisModuleCtx Ctx;
typedef struct RedisModuleString Text;
typedef int (*AuthCallback)(Ctx *, Text *, Text *, Text **);
typedef void (*TimerCallback)(Ctx *, void *);

static int (*set_attribs)(Ctx *, const char *, int, int);
static void (*register_auth)(Ctx *, AuthCallback);
static int (*log_in)(Ctx *, const char *, size_t, void *, void *, uint64_t *);
static const char *(*text_of)(const Text *, size_t *);
static uint64_t (*start_timer)(Ctx *, long long, TimerCallback, void *);
static int (*stop_timer)(Ctx *, uint64_t, void **);
static int (*cut_off)(Ctx *, uint64_t);
static unsigned long long (*client_id)(Ctx *);

enum { HANDLED = 0, NOT_HANDLED = 1, MOST = 4096, PARTS = 16 };

static char cluster[64], region[64], known_key[64], secret[128];
static long long session_ms;

/* Who is logged in, and the timer that ends it. */
static struct login { uint64_t client, timer; struct login *next; } *logins;

static void end_session(Ctx *ctx, void *data) {
    struct login **at = &logins, *over = data;
    while (*at && *at != over) at = &(*at)->next;
    if (*at) *at = over->next;
    cut_off(ctx, over->client);
    free(over);
}

static void begin_session(Ctx *ctx) {
    uint64_t client = client_id(ctx);
    struct login *login = logins;
    while (login && login->client != client) login = login->next;
    if (login) {
        stop_timer(ctx, login->timer, NULL);
    } else {
        login = malloc(sizeof *login);
        *login = (struct login){client, 0, logins};
        logins = login;
    }
    login->timer = start_timer(ctx, session_ms, end_session, login);
}

static void hex(char *into, const unsigned char *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) sprintf(into + 2 * i, "%02x", bytes[i]);
}

static void hash(char *into, const char *text) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int length;
    EVP_Digest(text, strlen(text), digest, &length, EVP_sha256(), NULL);
    hex(into, digest, length);
}

static void mac(unsigned char *into, const void *key, int length, const char *text) {
    HMAC(EVP_sha256(), key, length, (const unsigned char *)text, strlen(text), into, NULL);
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The value of `name` among the pairs; empty where there is none. */
static const char *value(char **pairs, int count, const char *name) {
    size_t length = strlen(name);
    for (int i = 0; i < count; i++)
        if (!strncmp(pairs[i], name, length) && pairs[i][length] == '=')
            return pairs[i] + length + 1;
    return "";
}

/* Whether the token is one of this cluster's for `user`, signed with the secret of the key. */
static int is_right(char *token, const char *user) {
    char scope[256], text[MOST], request[2 * MOST], digest[65], canonical[MOST] = "", wanted[65];
    char *pairs[PARTS], *given = NULL, *rest, *query = strstr(token, "/?");
    int count = 0;
    if (!query) return 0;
    *query = 0;
    if (strcmp(token, cluster)) return 0;
    for (char *pair = strtok_r(query + 2, "&", &rest); pair; pair = strtok_r(NULL, "&", &rest)) {
        if (!strncmp(pair, "X-Amz-Signature=", 16)) given = pair + 16;
        else if (count < PARTS) pairs[count++] = pair;
    }
    if (!given) return 0;
    qsort(pairs, count, sizeof *pairs, by_name);
    for (int i = 0; i < count; i++) {
        if (strlen(canonical) + strlen(pairs[i]) + 2 > sizeof canonical) return 0;
        if (i) strcat(canonical, "&");
        strcat(canonical, pairs[i]);
    }
    const char *stamp = value(pairs, count, "X-Amz-Date");
    char day[9], credential[256];
    snprintf(day, sizeof day, "%.8s", stamp);
    struct tm tm = {0};
    if (!strptime(stamp, "%Y%m%dT%H%M%SZ", &tm)) return 0;
    time_t signed_at = timegm(&tm), now = time(NULL);
    long expires = atol(value(pairs, count, "X-Amz-Expires"));
    if (expires > 900 || now >= signed_at + expires || signed_at > now + 300) return 0;
    snprintf(credential, sizeof credential, "%s%%2F%s%%2F%s%%2Fmemorydb%%2Faws4_request", known_key,
             day, region);
    if (strcmp(value(pairs, count, "Action"), "connect")
        || strcmp(value(pairs, count, "User"), user)
        || strcmp(value(pairs, count, "X-Amz-Credential"), credential)) return 0;

    hash(digest, "");
    snprintf(request, sizeof request, "GET\n/\n%s\nhost:%s\n\nhost\n%s", canonical, cluster,
             digest);
    hash(digest, request);
    snprintf(scope, sizeof scope, "%s/%s/memorydb/aws4_request", day, region);
    snprintf(text, sizeof text, "AWS4-HMAC-SHA256\n%s\n%s\n%s", stamp, scope, digest);
    char first[160];
    unsigned char key[32];
    const char *parts[] = {region, "memorydb", "aws4_request"};
    snprintf(first, sizeof first, "AWS4%s", secret);
    mac(key, first, strlen(first), day);
    for (int i = 0; i < 3; i++) mac(key, key, sizeof key, parts[i]);
    mac(key, key, sizeof key, text);
    hex(wanted, key, sizeof key);
    return !strcmp(wanted, given);
}

static int judge(Ctx *ctx, Text *username, Text *password, Text **error) {
    (void)error;
    size_t length, user_length;
    const char *token = text_of(password, &length), *user = text_of(username, &user_length);
    char copy[MOST];
    if (length >= sizeof copy) return NOT_HANDLED;
    memcpy(copy, token, length);
    copy[length] = 0;
    if (!is_right(copy, user)) return NOT_HANDLED;
    if (log_in(ctx, user, user_length, NULL, NULL, NULL)) return NOT_HANDLED;
    begin_session(ctx);
    return HANDLED;
}

int RedisModule_OnLoad(Ctx *ctx, Text **argv, int argc) {
    int (*api)(const char *, void *) = (int (*)(const char *, void *))((void **)ctx)[0];
    struct { const char *name; void *into; } needed[] = {
        {"RedisModule_SetModuleAttribs", &set_attribs},
        {"RedisModule_RegisterAuthCallback", &register_auth},
        {"RedisModule_AuthenticateClientWithACLUser", &log_in},
        {"RedisModule_StringPtrLen", &text_of},
        {"RedisModule_CreateTimer", &start_timer},
        {"RedisModule_StopTimer", &stop_timer},
        {"RedisModule_DeauthenticateAndCloseClient", &cut_off},
        {"RedisModule_GetClientId", &client_id},
    };
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (api(needed[i].name, needed[i].into)) return 1;
    if (argc != 5) return 1;
    char *into[] = {cluster, region, known_key, secret};
    size_t sizes[] = {sizeof cluster, sizeof region, sizeof known_key, sizeof secret};
    for (int i = 0; i < 4; i++) snprintf(into[i], sizes[i], "%s", text_of(argv[i], NULL));
    session_ms = atoll(text_of(argv[4], NULL));
    set_attribs(ctx, "iam", 1, 1);
    register_auth(ctx, judge);
    return 0;
}
