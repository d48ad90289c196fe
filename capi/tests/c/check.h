/* Checks of the test programs. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wgru.h>

static int checks;

#define CHECK(condition)                                                                                              \
    do {                                                                                                              \
        checks++;                                                                                                     \
        if (!(condition)) {                                                                                           \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);                                 \
            exit(1);                                                                                                  \
        }                                                                                                             \
    } while (0)

/* Makes a call, whose last argument is &error, and checks its status. */
#define EXPECT(want, call)                                                                                            \
    do {                                                                                                              \
        WgruError error;                                                                                              \
        WgruStatus status;                                                                                            \
        memset(&error, 0x5a, sizeof error);                                                                           \
        status = (call);                                                                                              \
        checks++;                                                                                                     \
        if (status != (want) || error.status != status || memchr(error.message, 0, WGRU_MESSAGE_SIZE) == NULL ||      \
            (error.message[0] == 0) != (status == WGRU_STATUS_OK)) {                                                  \
            fprintf(stderr, "%s:%d: %s: expected %s, got %s: %.300s\n", __FILE__, __LINE__, #call,                    \
                    wgru_status_name(want), wgru_status_name(status), error.message);                                 \
            exit(1);                                                                                                  \
        }                                                                                                             \
    } while (0)

#define OK(call) EXPECT(WGRU_STATUS_OK, call)

/* Returns FOLDER/NAME, in memory that the next call overwrites. */
static const char *in(const char *folder, const char *name) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

#endif
