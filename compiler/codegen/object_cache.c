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

/* In front of each object. */
typedef struct Header {
    char magic[8];
    uint64_t key, size, check; /* check: hash of the object */
} Header;

static const char magic[8] = {'b', 'f', 'm', 'o', 'b', 'j', '0', '1'};

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

static void object_path(char *path, size_t size, const char *directory, uint64_t key) { (void)snprintf(path, size, "%s/%016" PRIx64 ".o", directory, key); }

bool object_cache_get(const char *directory, uint64_t key, ObjectCode *object)
{
    char path[4096];
    object_path(path, sizeof path, directory, key);
    struct stat status;
    const int descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    const bool own = descriptor >= 0 && fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == geteuid();
    FILE *file = own ? fdopen(descriptor, "rb") : NULL;
    if (!file) {
        if (descriptor >= 0)
            (void)close(descriptor);
        return false;
    }
    Header header;
    *object = (ObjectCode){0};
    bool ok = fread(&header, sizeof header, 1, file) == 1 && memcmp(header.magic, magic, sizeof magic) == 0 && header.key == key && header.size < (1u << 28);
    if (ok && (object->bytes = malloc(header.size + 1)) != NULL) {
        object->size = fread(object->bytes, 1, header.size + 1, file);
        ok = object->size == header.size && hash_bytes(object->bytes, object->size, key) == header.check;
    }
    (void)fclose(file);
    if (!ok || !object->bytes) {
        free(object->bytes);
        *object = (ObjectCode){0};
        return false;
    }
    return true;
}

void object_cache_put(const char *directory, uint64_t key, const ObjectCode *object)
{
    char path[4096], beside[4096];
    object_path(path, sizeof path, directory, key);
    int length = snprintf(beside, sizeof beside, "%s/.%016" PRIx64 "-XXXXXX", directory, key);
    if (length < 0 || (size_t)length >= sizeof beside)
        return;
    int fd = mkstemp(beside);
    if (fd < 0)
        return;
    (void)fchmod(fd, 0600);
    Header header = {.key = key, .size = object->size, .check = hash_bytes(object->bytes, object->size, key)};
    memcpy(header.magic, magic, sizeof magic);
    FILE *file = fdopen(fd, "wb");
    bool ok = file && fwrite(&header, sizeof header, 1, file) == 1 && fwrite(object->bytes, 1, object->size, file) == object->size;
    ok = (file ? fclose(file) : close(fd)) == 0 && ok;
    if (!ok || rename(beside, path) != 0)
        (void)unlink(beside);
}
