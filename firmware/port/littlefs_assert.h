// Of what littlefs asserts, its callers' use of a file's mode raises OSError: with assertions off, as
// upstream builds it, a file that was opened to be read is written all the same. The others stay
// off: they refuse file systems that upstream mounts.
#include <string.h>

#include "py/mperrno.h"
#include "py/runtime.h"

#undef LFS2_NO_ASSERT // extmod.mk says so
#define LFS2_ASSERT(test) do { \
        if (strstr(#test, "file->flags & LFS2_O_") && !(test)) { \
            mp_raise_OSError(MP_EBADF); \
        } \
} while (0)
