// What littlefs asserts of its callers raises OSError: with NDEBUG it would go on, and write files
// that were opened to be read.
#include "py/mperrno.h"
#include "py/runtime.h"

#undef LFS2_NO_ASSERT // extmod.mk says so
#define LFS2_ASSERT(test) do { if (!(test)) mp_raise_OSError(MP_EBADF); } while (0)
