#include <time.h>
extern time_t rtc_seconds(time_t *timer);
#define MBEDTLS_PLATFORM_TIME_MACRO rtc_seconds
#define MBEDTLS_PLATFORM_MS_TIME_ALT mbedtls_ms_time
#define MICROPY_MBEDTLS_CONFIG_BARE_METAL (1)
#include "extmod/mbedtls/mbedtls_config_common.h"
