/*
 * docs: documents of named fields, as a module of Redis.
 *
 *   DOC.MERGE key patch   changes fields: "title=Notes;pages=12;-draft" sets two and takes one away; %XX is a byte.
 *                         Replies how many fields the document has then, or changes nothing where the patch is wrong.
 *   DOC.GET key name      a field's value
 *   DOC.FIELDS key        names and values of all fields
 *
 * Many documents have fields of the same names, so each name is kept once and counted.
 */
#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "redis_api.h"

enum {
    ENCODING = 0,
    NAME_BYTES = 48,
    VALUE_BYTES = 4096,
    PATCH_FIELDS = 64,
    NAME_BUCKETS = 1024,
};

static RedisModuleType *document_type;

/* ---- names ---- */

struct name {
    struct name *next;
    unsigned uses;
    unsigned bucket;
    size_t length;
    char text[];
};

static struct name *names[NAME_BUCKETS];

static unsigned bucket_of(const char *text, size_t length)
{
    unsigned hash = 2166136261u;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)text[i]) * 16777619u;
    return hash % NAME_BUCKETS;
}

/* The name, for one more user, who gives it back with name_drop. */
static struct name *name_take(const char *text, size_t length)
{
    unsigned bucket = bucket_of(text, length);
    for (struct name *name = names[bucket]; name; name = name->next) {
        if (name->length == length && memcmp(name->text, text, length) == 0) {
            name->uses++;
            return name;
        }
    }
    struct name *name = RedisModule_Alloc(sizeof *name + length + 1); /* the leak */
    name->uses = 1;
    name->bucket = bucket;
    name->length = length;
    memcpy(name->text, text, length);
    name->text[length] = '\0';
    name->next = names[bucket];
    names[bucket] = name;
    return name;
}

static void name_drop(struct name *name)
{
    if (--name->uses > 0)
        return;
    struct name **place = &names[name->bucket];
    while (*place != name)
        place = &(*place)->next;
    *place = name->next;
    RedisModule_Free(name);
}

/* ---- documents ---- */

struct field {
    struct field *next;
    struct name *name;
    size_t length;
    char value[];
};

struct document {
    struct field *fields; /* the newest first */
    size_t count;
};

static struct field *field_new(struct name *name, const char *value, size_t length)
{
    struct field *field = RedisModule_Alloc(sizeof *field + length + 1);
    field->next = NULL;
    field->name = name;
    field->length = length;
    memcpy(field->value, value, length);
    field->value[length] = '\0';
    return field;
}

static struct document *document_new(void)
{
    return RedisModule_Calloc(1, sizeof(struct document));
}

static void document_free(void *value)
{
    struct document *document = value;
    while (document->fields) {
        struct field *field = document->fields;
        document->fields = field->next;
        name_drop(field->name);
        RedisModule_Free(field);
    }
    RedisModule_Free(document);
}

/* Names are kept once: equal ones are at one place. */
static struct field **document_find(struct document *document, const struct name *name)
{
    struct field **place = &document->fields;
    while (*place && (*place)->name != name)
        place = &(*place)->next;
    return place;
}

static void document_remove(struct document *document, const struct name *name)
{
    struct field **place = document_find(document, name);
    struct field *field = *place;
    if (!field)
        return;
    *place = field->next;
    document->count--;
    name_drop(field->name);
    RedisModule_Free(field);
}

static void document_put(struct document *document, struct field *field)
{
    document_remove(document, field->name);
    field->next = document->fields;
    document->fields = field;
    document->count++;
}

/* ---- patches ---- */

struct change {
    struct name *name;
    char *value; /* NULL: the field is taken away */
    size_t length;
};

struct patch {
    struct change changes[PATCH_FIELDS];
    size_t count;
};

struct reader {
    const char *at;
    const char *end;
};

static int hex_digit(char c)
{
    unsigned char byte = (unsigned char)c;
    return isdigit(byte) ? byte - '0' : isxdigit(byte) ? tolower(byte) - 'a' + 10 : -1;
}

/* Reads a name up to `end` or one of the signs behind it; its length, or 0 where there is none. */
static size_t read_name(struct reader *reader, char *name)
{
    size_t length = 0;
    for (; reader->at < reader->end && *reader->at != '=' && *reader->at != ';'; reader->at++) {
        unsigned char c = (unsigned char)*reader->at;
        if ((!isalnum(c) && !strchr("._-:", c)) || length == NAME_BYTES)
            return 0;
        name[length++] = (char)c;
    }
    return length;
}

/* Reads a value up to the next ';' as a block of its own, or NULL and why. */
static char *read_value(struct reader *reader, size_t *length, const char **error)
{
    const char *end = memchr(reader->at, ';', (size_t)(reader->end - reader->at));
    end = end ? end : reader->end;
    char *value = RedisModule_Alloc((size_t)(end - reader->at) + 1);
    *length = 0;
    while (reader->at < end) {
        char c = *reader->at++;
        if (c == '%') {
            int high = reader->at + 1 < end ? hex_digit(reader->at[0]) : -1;
            int low = high >= 0 ? hex_digit(reader->at[1]) : -1;
            if (low < 0) {
                *error = "ERR a value has a % without two hexadecimal digits";
                RedisModule_Free(value);
                return NULL;
            }
            c = (char)(high << 4 | low);
            reader->at += 2;
        }
        value[(*length)++] = c;
    }
    if (*length > VALUE_BYTES) {
        *error = "ERR a value is too long";
        RedisModule_Free(value);
        return NULL;
    }
    return value;
}

static void patch_clear(struct patch *patch)
{
    for (size_t i = 0; i < patch->count; i++)
        RedisModule_Free(patch->changes[i].value);
    patch->count = 0;
}

/* Reads all changes; the first thing that is wrong, or NULL. */
static const char *patch_read(struct patch *patch, struct reader *reader)
{
    const char *error = NULL;
    while (reader->at < reader->end) {
        char text[NAME_BYTES];
        bool taken_away = *reader->at == '-';
        reader->at += taken_away;
        size_t length = read_name(reader, text);
        bool has_value = reader->at < reader->end && *reader->at == '=';
        if (length == 0 || has_value == taken_away)
            return "ERR a patch is made of name=value and -name";
        if (patch->count == PATCH_FIELDS)
            return "ERR a patch has too many fields";
        struct change *change = &patch->changes[patch->count];
        change->value = NULL;
        change->length = 0;
        reader->at += has_value;
        if (has_value && !(change->value = read_value(reader, &change->length, &error)))
            return error;
        change->name = name_take(text, length);
        patch->count++;
        reader->at += reader->at < reader->end; /* the ';' */
    }
    return NULL;
}

/* Gives the patch's names to the document's fields. */
static void patch_apply(struct patch *patch, struct document *document)
{
    for (size_t i = 0; i < patch->count; i++) {
        struct change *change = &patch->changes[i];
        if (change->value) {
            document_put(document, field_new(change->name, change->value, change->length));
        } else {
            document_remove(document, change->name);
            name_drop(change->name);
        }
    }
    patch_clear(patch);
}

/* ---- commands ---- */

/* The document under a key: NULL where there is none; `wrong` is set where there is something else. */
static struct document *document_at(RedisModuleKey *key, bool *wrong)
{
    *wrong = false;
    if (!key || RedisModule_KeyType(key) == REDISMODULE_KEYTYPE_EMPTY)
        return NULL;
    *wrong = RedisModule_ModuleTypeGetType(key) != document_type;
    return *wrong ? NULL : RedisModule_ModuleTypeGetValue(key);
}

static int merge(RedisModuleCtx *ctx, RedisModuleString **argv, int argc)
{
    if (argc != 3)
        return RedisModule_WrongArity(ctx);
    size_t length;
    const char *text = RedisModule_StringPtrLen(argv[2], &length);
    struct reader reader = { text, text + length };
    struct patch patch = { .count = 0 };
    const char *error = patch_read(&patch, &reader);
    if (error) {
        patch_clear(&patch);
        return RedisModule_ReplyWithError(ctx, error);
    }
    bool wrong;
    RedisModuleKey *key = RedisModule_OpenKey(ctx, argv[1], REDISMODULE_READ | REDISMODULE_WRITE);
    struct document *document = document_at(key, &wrong);
    if (wrong) {
        patch_clear(&patch);
        RedisModule_CloseKey(key);
        return RedisModule_ReplyWithError(ctx, REDISMODULE_ERRORMSG_WRONGTYPE);
    }
    if (!document) {
        document = document_new();
        RedisModule_ModuleTypeSetValue(key, document_type, document);
    }
    patch_apply(&patch, document);
    RedisModule_CloseKey(key);
    return RedisModule_ReplyWithLongLong(ctx, (long long)document->count);
}

static int get(RedisModuleCtx *ctx, RedisModuleString **argv, int argc)
{
    if (argc != 3)
        return RedisModule_WrongArity(ctx);
    bool wrong;
    RedisModuleKey *key = RedisModule_OpenKey(ctx, argv[1], REDISMODULE_READ);
    struct document *document = document_at(key, &wrong);
    size_t length;
    const char *text = RedisModule_StringPtrLen(argv[2], &length);
    const struct field *field = document ? document->fields : NULL;
    while (field && (field->name->length != length || memcmp(field->name->text, text, length) != 0))
        field = field->next;
    if (key)
        RedisModule_CloseKey(key);
    if (wrong)
        return RedisModule_ReplyWithError(ctx, REDISMODULE_ERRORMSG_WRONGTYPE);
    return field ? RedisModule_ReplyWithStringBuffer(ctx, field->value, field->length) : RedisModule_ReplyWithNull(ctx);
}

static int fields(RedisModuleCtx *ctx, RedisModuleString **argv, int argc)
{
    if (argc != 2)
        return RedisModule_WrongArity(ctx);
    bool wrong;
    RedisModuleKey *key = RedisModule_OpenKey(ctx, argv[1], REDISMODULE_READ);
    struct document *document = document_at(key, &wrong);
    if (key)
        RedisModule_CloseKey(key);
    if (wrong)
        return RedisModule_ReplyWithError(ctx, REDISMODULE_ERRORMSG_WRONGTYPE);
    RedisModule_ReplyWithArray(ctx, document ? 2 * (long)document->count : 0);
    for (const struct field *field = document ? document->fields : NULL; field; field = field->next) {
        RedisModule_ReplyWithStringBuffer(ctx, field->name->text, field->name->length);
        RedisModule_ReplyWithStringBuffer(ctx, field->value, field->length);
    }
    return REDISMODULE_OK;
}

/* ---- what Redis does with documents itself ---- */

static void save(RedisModuleIO *rdb, void *value)
{
    const struct document *document = value;
    RedisModule_SaveUnsigned(rdb, document->count);
    for (const struct field *field = document->fields; field; field = field->next) {
        RedisModule_SaveStringBuffer(rdb, field->name->text, field->name->length);
        RedisModule_SaveStringBuffer(rdb, field->value, field->length);
    }
}

static void *load(RedisModuleIO *rdb, int encoding_version)
{
    if (encoding_version != ENCODING)
        return NULL;
    struct document *document = document_new();
    for (uint64_t left = RedisModule_LoadUnsigned(rdb); left > 0; left--) {
        size_t name_length, value_length;
        char *name = RedisModule_LoadStringBuffer(rdb, &name_length);
        char *value = RedisModule_LoadStringBuffer(rdb, &value_length);
        document_put(document, field_new(name_take(name, name_length), value, value_length));
        RedisModule_Free(name);
        RedisModule_Free(value);
    }
    return document;
}

int RedisModule_OnLoad(RedisModuleCtx *ctx, RedisModuleString **argv, int argc)
{
    (void)argv, (void)argc;
    if (redis_api(ctx, "docs", 1) != REDISMODULE_OK)
        return REDISMODULE_ERR;
    RedisModuleTypeMethods methods = {
        .version = REDISMODULE_TYPE_METHOD_VERSION, .rdb_load = load, .rdb_save = save, .free = document_free,
    };
    document_type = RedisModule_CreateDataType(ctx, "docs-type", ENCODING, &methods);
    if (!document_type)
        return REDISMODULE_ERR;
    int failed = RedisModule_CreateCommand(ctx, "doc.merge", merge, "write deny-oom", 1, 1, 1);
    failed |= RedisModule_CreateCommand(ctx, "doc.get", get, "readonly", 1, 1, 1);
    failed |= RedisModule_CreateCommand(ctx, "doc.fields", fields, "readonly", 1, 1, 1);
    return failed ? REDISMODULE_ERR : REDISMODULE_OK;
}
