/*
 * The program behind every hook command (relation-get, status-set, ...) in a charm container.
 *
 * It sends its own name, its arguments and the hook's context id to the engine and prints the
 * answer. What the engine cannot read itself is sent along: standard input, only when the
 * arguments say `--file -`, since other commands must leave it alone; and the files that
 * arguments name (`--file PATH`, `key#file=PATH`), since they exist only in this container and
 * are often removed as soon as the command returns.
 *
 * The frames are described in protocol.py. No library but libc; links statically.
 */

#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    FIELD_LIMIT = 8 << 20, /* as in protocol.py */
    FAILED = 1,
};

/* A growing buffer: the whole request is built first and sent in one go. */
struct buffer {
    unsigned char *data;
    size_t used, size;
};

static const char *self = "hook command";

static _Noreturn void fail(const char *what, const char *detail)
{
    if (detail != NULL)
        fprintf(stderr, "ERROR %s: %s: %s\n", self, what, detail);
    else
        fprintf(stderr, "ERROR %s: %s\n", self, what);
    exit(FAILED);
}

static void reserve(struct buffer *buffer, size_t more)
{
    if (buffer->size - buffer->used >= more)
        return;
    size_t size = buffer->size ? buffer->size : 4096;
    while (size - buffer->used < more)
        size *= 2;
    unsigned char *data = realloc(buffer->data, size);
    if (data == NULL)
        fail("out of memory", NULL);
    buffer->data = data;
    buffer->size = size;
}

static void put_number(unsigned char *at, uint32_t number)
{
    at[0] = (unsigned char)(number >> 24);
    at[1] = (unsigned char)(number >> 16);
    at[2] = (unsigned char)(number >> 8);
    at[3] = (unsigned char)number;
}

static uint32_t get_number(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void put_field(struct buffer *buffer, char kind, const void *data, size_t length)
{
    reserve(buffer, 5 + length);
    buffer->data[buffer->used] = (unsigned char)kind;
    put_number(buffer->data + buffer->used + 1, (uint32_t)length);
    if (length > 0)
        memcpy(buffer->data + buffer->used + 5, data, length);
    buffer->used += 5 + length;
}

static void put_text(struct buffer *buffer, char kind, const char *text)
{
    put_field(buffer, kind, text, strlen(text));
}

/*
 * Append a field with all that a descriptor has. Returns 0, or an error number; then the buffer
 * is as it was.
 */
static int put_stream(struct buffer *buffer, char kind, int descriptor)
{
    size_t start = buffer->used, length = 0;
    reserve(buffer, 5);
    buffer->used += 5;
    for (;;) {
        reserve(buffer, 65536);
        ssize_t got = read(descriptor, buffer->data + buffer->used, 65536);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 || length + (size_t)got > FIELD_LIMIT) {
            buffer->used = start;
            return got < 0 ? errno : EFBIG;
        }
        if (got == 0)
            break;
        buffer->used += (size_t)got;
        length += (size_t)got;
    }
    buffer->data[start] = (unsigned char)kind;
    put_number(buffer->data + start + 1, (uint32_t)length);
    return 0;
}

static void put_file(struct buffer *buffer, const char *path)
{
    put_text(buffer, 'p', path);
    int error = 0;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) {
        error = errno;
    } else {
        error = put_stream(buffer, 'f', descriptor);
        close(descriptor);
    }
    if (error != 0) {
        char number[16];
        snprintf(number, sizeof number, "%d", error);
        put_text(buffer, 'x', number);
    }
}

/* Returns the value if the argument is `-file=...` or `--file=...`, "" if it is the bare flag. */
static const char *file_flag(const char *argument)
{
    if (strncmp(argument, "--", 2) == 0)
        argument += 2;
    else if (*argument == '-')
        argument += 1;
    else
        return NULL;
    if (strncmp(argument, "file", 4) != 0)
        return NULL;
    if (argument[4] == '\0')
        return "";
    return argument[4] == '=' ? argument + 5 : NULL;
}

/* The commands that read files; for all others such arguments are plain text. */
static int reads_files(const char *name)
{
    static const char *const names[] = {"relation-set", "state-set", "secret-add", "secret-set"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return 1;
    return 0;
}

static void put_inputs(struct buffer *buffer, const char *name, int count, char **arguments)
{
    int flags = 1, has_stdin = 0;
    if (!reads_files(name))
        return;
    for (int i = 1; i < count; i++) {
        const char *path = NULL;
        if (flags && strcmp(arguments[i], "--") == 0) {
            flags = 0;
            continue;
        }
        if (flags)
            path = file_flag(arguments[i]);
        if (path != NULL && *path == '\0') {
            if (i + 1 >= count)
                return; /* the engine words the error */
            path = arguments[++i];
        }
        if (path == NULL && strncmp(name, "secret-", 7) == 0) {
            const char *equals = strchr(arguments[i], '=');
            if (equals != NULL && equals - arguments[i] > 5
                && strncmp(equals - 5, "#file", 5) == 0)
                path = equals + 1;
        }
        if (path == NULL)
            continue;
        if (strcmp(path, "-") != 0) {
            put_file(buffer, path);
        } else if (!has_stdin) {
            int error = put_stream(buffer, 'i', STDIN_FILENO);
            if (error != 0)
                fail("cannot read standard input", strerror(error));
            has_stdin = 1;
        }
    }
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        fail("cannot reach the agent: socket path too long", path);
    strcpy(address.sun_path, path);
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        fail("cannot make a socket", strerror(errno));
    while (connect(descriptor, (struct sockaddr *)&address, sizeof address) != 0) {
        if (errno == EINTR)
            continue;
        fprintf(stderr, "ERROR %s: cannot reach the agent at %s: %s\n", self, path,
                strerror(errno));
        exit(FAILED);
    }
    return descriptor;
}

/* Returns 0 when all is written, else -1 with errno set. */
static int write_all(int descriptor, const unsigned char *data, size_t length)
{
    while (length > 0) {
        ssize_t done = write(descriptor, data, length);
        if (done < 0) {
            if (errno == EINTR)
                continue;
            return -1;
        }
        data += done;
        length -= (size_t)done;
    }
    return 0;
}

static void read_all(int descriptor, unsigned char *data, size_t length)
{
    while (length > 0) {
        ssize_t got = read(descriptor, data, length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            fail("cannot read the agent's answer", strerror(errno));
        if (got == 0)
            fail("the agent closed the connection", NULL);
        data += got;
        length -= (size_t)got;
    }
}

static unsigned char *read_part(int descriptor, uint32_t length)
{
    unsigned char *data = malloc((size_t)length + 1);
    if (data == NULL)
        fail("out of memory", NULL);
    read_all(descriptor, data, length);
    data[length] = '\0';
    return data;
}

static void write_output(const char *path, const unsigned char *data, size_t length)
{
    int descriptor = STDOUT_FILENO;
    if (*path != '\0') {
        descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        if (descriptor < 0)
            fail(path, strerror(errno));
    }
    if (write_all(descriptor, data, length) != 0)
        fail("cannot write the output", strerror(errno));
}

int main(int count, char **arguments)
{
    if (count < 1 || arguments[0] == NULL)
        fail("no command name", NULL);
    const char *slash = strrchr(arguments[0], '/');
    self = slash != NULL ? slash + 1 : arguments[0];

    const char *context = getenv("JUJU_CONTEXT_ID");
    const char *address = getenv("JUJU_AGENT_SOCKET_ADDRESS");
    if (context == NULL || *context == '\0')
        fail("JUJU_CONTEXT_ID not set; hook commands work only inside a hook", NULL);
    if (address == NULL || *address == '\0')
        fail("JUJU_AGENT_SOCKET_ADDRESS not set; hook commands work only inside a hook", NULL);
    signal(SIGPIPE, SIG_IGN);

    struct buffer request = {0};
    reserve(&request, 4);
    memcpy(request.data, "LJH1", 4);
    request.used = 4;
    put_text(&request, 'c', context);
    put_text(&request, 'n', self);
    for (int i = 1; i < count; i++)
        put_text(&request, 'a', arguments[i]);
    put_inputs(&request, self, count, arguments);
    put_field(&request, 'z', NULL, 0);

    int agent = connect_to(address);
    /* An agent that refuses early answers before it has read all: so read on even then. */
    if (write_all(agent, request.data, request.used) != 0 && errno != EPIPE
        && errno != ECONNRESET)
        fail("cannot send to the agent", strerror(errno));

    unsigned char head[13];
    read_all(agent, head, sizeof head);
    uint32_t out_length = get_number(head + 1), error_length = get_number(head + 5);
    uint32_t path_length = get_number(head + 9);
    unsigned char *out = read_part(agent, out_length);
    unsigned char *error = read_part(agent, error_length);
    unsigned char *path = read_part(agent, path_length);

    if (write_all(STDERR_FILENO, error, error_length) != 0)
        return FAILED;
    write_output((const char *)path, out, out_length);
    return head[0];
}
