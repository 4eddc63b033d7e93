// lwIP's view of this compiler.
#include <assert.h>
#define LWIP_PLATFORM_DIAG(x)
#define LWIP_PLATFORM_ASSERT(x) do { assert(0); } while (0)
