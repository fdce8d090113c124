/*
 * The few functions of Redis's interface for modules that docs.c needs. Debian has no package with its header; names,
 * types and numbers are those of Redis's own documentation of it (redis.io, "Modules API reference").
 */
#ifndef REDIS_API_H
#define REDIS_API_H

#include <stddef.h>
#include <stdint.h>

enum { REDISMODULE_OK = 0, REDISMODULE_ERR = 1, REDISMODULE_APIVER_1 = 1 };
enum { REDISMODULE_READ = 1, REDISMODULE_WRITE = 2 };
enum { REDISMODULE_KEYTYPE_EMPTY = 0 };
enum { REDISMODULE_TYPE_METHOD_VERSION = 1 };

#define REDISMODULE_ERRORMSG_WRONGTYPE "WRONGTYPE Operation against a key holding the wrong kind of value"

typedef struct RedisModuleCtx RedisModuleCtx;
typedef struct RedisModuleKey RedisModuleKey;
typedef struct RedisModuleString RedisModuleString;
typedef struct RedisModuleType RedisModuleType;
typedef struct RedisModuleIO RedisModuleIO;
typedef struct RedisModuleDigest RedisModuleDigest;

typedef int (*RedisModuleCmdFunc)(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);

/* The first version of it. */
typedef struct {
    uint64_t version;
    void *(*rdb_load)(RedisModuleIO *rdb, int encoding_version);
    void (*rdb_save)(RedisModuleIO *rdb, void *value);
    void (*aof_rewrite)(RedisModuleIO *aof, RedisModuleString *key, void *value);
    size_t (*mem_usage)(const void *value);
    void (*digest)(RedisModuleDigest *digest, void *value);
    void (*free)(void *value);
} RedisModuleTypeMethods;

/* Pointers that Redis fills in when the module is loaded. */
#define REDIS_FUNCTIONS(X)                                                                                            \
    X(void *, Alloc, (size_t bytes))                                                                                  \
    X(void *, Calloc, (size_t count, size_t bytes))                                                                   \
    X(void, Free, (void *block))                                                                                      \
    X(int, SetModuleAttribs, (RedisModuleCtx *ctx, const char *name, int version, int api_version))                   \
    X(int, CreateCommand,                                                                                             \
      (RedisModuleCtx *ctx, const char *name, RedisModuleCmdFunc function, const char *flags, int first, int last,    \
       int step))                                                                                                     \
    X(RedisModuleType *, CreateDataType,                                                                              \
      (RedisModuleCtx *ctx, const char *name, int encoding_version, RedisModuleTypeMethods *methods))                 \
    X(int, WrongArity, (RedisModuleCtx *ctx))                                                                         \
    X(const char *, StringPtrLen, (const RedisModuleString *string, size_t *length))                                  \
    X(RedisModuleKey *, OpenKey, (RedisModuleCtx *ctx, RedisModuleString *name, int mode))                            \
    X(void, CloseKey, (RedisModuleKey *key))                                                                          \
    X(int, KeyType, (RedisModuleKey *key))                                                                            \
    X(RedisModuleType *, ModuleTypeGetType, (RedisModuleKey *key))                                                    \
    X(void *, ModuleTypeGetValue, (RedisModuleKey *key))                                                              \
    X(int, ModuleTypeSetValue, (RedisModuleKey *key, RedisModuleType *type, void *value))                             \
    X(int, ReplyWithError, (RedisModuleCtx *ctx, const char *error))                                                  \
    X(int, ReplyWithLongLong, (RedisModuleCtx *ctx, long long number))                                                \
    X(int, ReplyWithStringBuffer, (RedisModuleCtx *ctx, const char *text, size_t length))                             \
    X(int, ReplyWithNull, (RedisModuleCtx *ctx))                                                                      \
    X(int, ReplyWithArray, (RedisModuleCtx *ctx, long length))                                                        \
    X(void, SaveUnsigned, (RedisModuleIO *io, uint64_t number))                                                       \
    X(uint64_t, LoadUnsigned, (RedisModuleIO *io))                                                                    \
    X(void, SaveStringBuffer, (RedisModuleIO *io, const char *text, size_t length))                                   \
    X(char *, LoadStringBuffer, (RedisModuleIO *io, size_t *length))

#define REDIS_POINTER(result, name, arguments) static result(*RedisModule_##name) arguments;
REDIS_FUNCTIONS(REDIS_POINTER)
#undef REDIS_POINTER

/* Finds all of them, by the function that the context begins with, and tells Redis who the module is. */
static int redis_api(RedisModuleCtx *ctx, const char *name, int version)
{
    int (*find)(const char *name, void *function) = *(int (**)(const char *, void *))ctx;
#define REDIS_FIND(result, name, arguments)                                                                           \
    if (find("RedisModule_" #name, &RedisModule_##name) != REDISMODULE_OK)                                            \
        return REDISMODULE_ERR;
    REDIS_FUNCTIONS(REDIS_FIND)
#undef REDIS_FIND
    RedisModule_SetModuleAttribs(ctx, name, version, REDISMODULE_APIVER_1);
    return REDISMODULE_OK;
}

#endif
