#include "codegen/object_cache.h"

#include "support/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* In front of each object, and before the texts of its key, each with its final 0. */
typedef struct Header {
    char magic[8];
    uint64_t size; /* of the object */
    Hash128 check; /* of the object */
} Header;

static const char magic[8] = {'b', 'f', 'm', 'o', 'b', 'j', '0', '2'};

/* Creates the directory and its parents. */
static bool make_directories(const char *path)
{
    char *copy = strdup(path);
    if (!copy)
        return false;
    for (char *p = copy + 1; *p; p++)
        if (*p == '/') {
            *p = '\0';
            (void)mkdir(copy, 0777);
            *p = '/';
        }
    bool ok = mkdir(copy, 0700) == 0 || errno == EEXIST;
    free(copy);
    return ok;
}

/* What is in the folder is run: it must be a folder of this user's that nobody else can write to. One that others can only read is closed to them. */
static const char *unsafe(const char *path)
{
    struct stat status;
    const int folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0)
        return errno == ELOOP || errno == ENOTDIR ? "it is a symbolic link or no folder" : strerror(errno);
    const char *reason = NULL;
    if (fstat(folder, &status) != 0)
        reason = strerror(errno);
    else if (status.st_uid != geteuid())
        reason = "it belongs to another user";
    else if (status.st_mode & 022)
        reason = "other users can write to it";
    else if (status.st_mode & 077 && fchmod(folder, 0700) != 0)
        reason = strerror(errno);
    (void)close(folder);
    return reason;
}

const char *object_cache_directory(Arena *arena, const char *given, const char **warning)
{
    *warning = NULL;
    const char *directory = given;
    if (!directory && (directory = getenv("BFM_CACHE_DIR")) == NULL) {
        const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
        directory = xdg && *xdg ? arena_printf(arena, "%s/bfm", xdg) : home && *home ? arena_printf(arena, "%s/.cache/bfm", home) : "";
    }
    if (!*directory)
        return NULL;
    directory = arena_strdup(arena, directory);
    const char *reason = make_directories(directory) ? unsafe(directory) : strerror(errno);
    if (!reason)
        return directory;
    *warning = arena_printf(arena, "compiled objects are not kept in %s: %s", directory, reason);
    return NULL;
}

ObjectKey object_key(const char *target, const char *signature)
{
    const Hash128 of_target = hash_wide(target, strlen(target), 0);
    return (ObjectKey){target, signature, hash_wide(signature, strlen(signature), of_target.high ^ of_target.low)};
}

/* `before` and `after` surround the hash. */
static bool object_path(char *path, size_t size, const char *directory, const char *before, Hash128 hash, const char *after)
{
    const int length = snprintf(path, size, "%s/%s%016" PRIx64 "%016" PRIx64 "%s", directory, before, hash.high, hash.low, after);
    return length > 0 && (size_t)length < size;
}

/* An object of this user's; NULL: there is none. */
static FILE *open_object(const char *path)
{
    struct stat status;
    const int descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    const bool own = descriptor >= 0 && fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == geteuid();
    FILE *file = own ? fdopen(descriptor, "rb") : NULL;
    if (!file && descriptor >= 0)
        (void)close(descriptor);
    return file;
}

static bool holds_text(FILE *file, const char *text)
{
    char block[512];
    for (size_t left = strlen(text) + 1; left > 0;) {
        const size_t count = left < sizeof block ? left : sizeof block;
        if (fread(block, 1, count, file) != count || memcmp(block, text, count) != 0)
            return false;
        text += count;
        left -= count;
    }
    return true;
}

static bool read_object(FILE *file, const ObjectKey *key, ObjectCode *object)
{
    Header header;
    if (fread(&header, sizeof header, 1, file) != 1 || memcmp(header.magic, magic, sizeof magic) != 0 || header.size >= (1u << 28) || !holds_text(file, key->target) ||
        !holds_text(file, key->signature) || (object->bytes = malloc(header.size + 1)) == NULL)
        return false;
    object->size = fread(object->bytes, 1, header.size + 1, file);
    const Hash128 check = hash_wide(object->bytes, object->size, key->hash.low);
    return object->size == header.size && check.high == header.check.high && check.low == header.check.low;
}

bool object_cache_get(const char *directory, const ObjectKey *key, ObjectCode *object)
{
    char path[4096];
    FILE *file = object_path(path, sizeof path, directory, "", key->hash, ".o") ? open_object(path) : NULL;
    *object = (ObjectCode){0};
    if (!file)
        return false;
    const bool whole = read_object(file, key, object);
    (void)fclose(file);
    if (!whole) {
        free(object->bytes);
        *object = (ObjectCode){0};
    }
    return whole;
}

static bool write_object(FILE *file, const ObjectKey *key, const ObjectCode *object)
{
    Header header = {.size = object->size, .check = hash_wide(object->bytes, object->size, key->hash.low)};
    memcpy(header.magic, magic, sizeof magic);
    return fwrite(&header, sizeof header, 1, file) == 1 && fwrite(key->target, strlen(key->target) + 1, 1, file) == 1 &&
           fwrite(key->signature, strlen(key->signature) + 1, 1, file) == 1 && fwrite(object->bytes, 1, object->size, file) == object->size;
}

/* Each writer has a file of its own, which takes the name when it is whole. */
void object_cache_put(const char *directory, const ObjectKey *key, const ObjectCode *object)
{
    char path[4096], beside[4096];
    if (!object_path(path, sizeof path, directory, "", key->hash, ".o") || !object_path(beside, sizeof beside, directory, ".", key->hash, "-XXXXXX"))
        return;
    const int descriptor = mkstemp(beside);
    if (descriptor < 0)
        return;
    (void)fchmod(descriptor, 0600);
    FILE *file = fdopen(descriptor, "wb");
    bool ok = file && write_object(file, key, object);
    ok = (file ? fclose(file) : close(descriptor)) == 0 && ok;
    if (!ok || rename(beside, path) != 0)
        (void)unlink(beside);
}
