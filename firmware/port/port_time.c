// Included by extmod/modtime.c.

#include <time.h>
#include "board.h"
#include "shared/timeutils/timeutils.h"

time_t rtc_seconds(time_t *unused);

static mp_obj_t mp_time_localtime_get(void) {
    timeutils_struct_time_t tm;
    uint32_t us;
    rtc_get(&tm, &us);
    mp_obj_t items[8] = {
        MP_OBJ_NEW_SMALL_INT(tm.tm_year), MP_OBJ_NEW_SMALL_INT(tm.tm_mon),
        MP_OBJ_NEW_SMALL_INT(tm.tm_mday), MP_OBJ_NEW_SMALL_INT(tm.tm_hour),
        MP_OBJ_NEW_SMALL_INT(tm.tm_min), MP_OBJ_NEW_SMALL_INT(tm.tm_sec),
        MP_OBJ_NEW_SMALL_INT(tm.tm_wday),
        MP_OBJ_NEW_SMALL_INT(timeutils_year_day(tm.tm_year, tm.tm_mon, tm.tm_mday)),
    };
    return mp_obj_new_tuple(8, items);
}

static mp_obj_t mp_time_time_get(void) {
    return timeutils_obj_from_timestamp(rtc_seconds(NULL));
}
