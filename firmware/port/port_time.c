// Included by extmod/modtime.c.

#include <time.h>
#include "board.h"
#include "shared/timeutils/timeutils.h"

time_t rtc_seconds(time_t *unused);

static void now(timeutils_struct_time_t *tm) {
    uint32_t us;
    rtc_get(tm, &us);
    tm->tm_yday = timeutils_year_day(tm->tm_year, tm->tm_mon, tm->tm_mday);
}

#ifdef PORT_FILLS_LOCALTIME
static void mp_time_localtime_get(timeutils_struct_time_t *tm) {
    now(tm);
}
#else
static mp_obj_t mp_time_localtime_get(void) {
    timeutils_struct_time_t tm;
    now(&tm);
    mp_obj_t items[8] = {
        MP_OBJ_NEW_SMALL_INT(tm.tm_year), MP_OBJ_NEW_SMALL_INT(tm.tm_mon),
        MP_OBJ_NEW_SMALL_INT(tm.tm_mday), MP_OBJ_NEW_SMALL_INT(tm.tm_hour),
        MP_OBJ_NEW_SMALL_INT(tm.tm_min), MP_OBJ_NEW_SMALL_INT(tm.tm_sec),
        MP_OBJ_NEW_SMALL_INT(tm.tm_wday), MP_OBJ_NEW_SMALL_INT(tm.tm_yday),
    };
    return mp_obj_new_tuple(8, items);
}
#endif

static mp_obj_t mp_time_time_get(void) {
    return mp_obj_new_int_from_ll(rtc_seconds(NULL));
}
