// Bank 2 of the internal flash as a block device of 4 KiB blocks.
//
// The hardware erases 128 KiB sectors. A block that is written is first gathered in a copy of
// its sector; the copy goes back at sync or when another sector is wanted. Where it only adds
// to blank flash words, nothing is erased.

#include <string.h>

#include "board.h"
#include "py/mperrno.h"
#include "py/runtime.h"
#include "extmod/vfs.h"

extern uint8_t _littlefs[]; // the linker script's
enum { SECTOR = 128 * 1024, SECTORS = 8, BLOCK = 4096, WORD = 32 };

static uint8_t cache[SECTOR] __attribute__((section(".sector_cache"), aligned(WORD)));
static int cached = -1;
static bool dirty;

void FLASH_IRQHandler(void) {
    FLASH_CR2 &= ~FLASH_CR_EOPIE; // only wakes the wait below
}

static bool blank(const void *word) {
    for (const uint32_t *w = word, *end = w + WORD / 4; w < end; ++w) {
        if (*w != 0xFFFFFFFF) {
            return false;
        }
    }
    return true;
}

// Sleep until the operation has ended; true if it went well.
static bool finish(void) {
    while (FLASH_SR2 & FLASH_SR_QW) {
        uint32_t masked = __get_PRIMASK();
        __disable_irq();
        FLASH_CR2 |= FLASH_CR_EOPIE;
        if (FLASH_SR2 & FLASH_SR_QW) {
            __WFI();
        }
        __set_PRIMASK(masked);
    }
    FLASH_CR2 &= ~FLASH_CR_EOPIE;
    uint32_t errors = FLASH_SR2 & FLASH_SR_ERRORS;
    FLASH_CCR2 = errors | FLASH_SR_EOP;
    return errors == 0;
}

static bool program(uint32_t address, const uint32_t *data) {
    volatile uint32_t *to = (volatile uint32_t *)address;
    for (int i = 0; i < WORD / 4; ++i) {
        to[i] = data[i];
    }
    __DSB();
    return finish();
}

static bool flush(void) {
    if (!dirty) {
        return true;
    }
    uint32_t base = (uint32_t)_littlefs + cached * SECTOR;
    bool erase = false;
    for (uint32_t i = 0; i < SECTOR && !erase; i += WORD) {
        erase = memcmp((void *)(base + i), cache + i, WORD) != 0 && !blank((void *)(base + i));
    }
    if (FLASH_CR2 & FLASH_CR_LOCK) {
        FLASH_KEYR2 = 0x45670123;
        FLASH_KEYR2 = 0xCDEF89AB;
    }
    FLASH_CCR2 = FLASH_SR_ERRORS | FLASH_SR_EOP;
    bool good = true;
    if (erase) {
        FLASH_CR2 = FLASH_CR_PSIZE_X64 | FLASH_CR_SER | (uint32_t)cached << FLASH_CR_SNB_Pos;
        FLASH_CR2 |= FLASH_CR_START;
        good = finish();
        SCB_InvalidateDCache_by_Addr((void *)base, SECTOR);
    }
    FLASH_CR2 = FLASH_CR_PSIZE_X64 | FLASH_CR_PG;
    for (uint32_t i = 0; i < SECTOR && good; i += WORD) {
        if (memcmp((void *)(base + i), cache + i, WORD) != 0) {
            good = program(base + i, (uint32_t *)(cache + i));
            SCB_InvalidateDCache_by_Addr((void *)(base + i), WORD);
        }
    }
    FLASH_CR2 = FLASH_CR_LOCK;
    dirty = !good;
    return good;
}

static bool select_sector(int sector) {
    if (cached != sector) {
        if (!flush()) {
            return false;
        }
        memcpy(cache, _littlefs + sector * SECTOR, SECTOR);
        cached = sector;
    }
    return true;
}

static bool store(uint32_t offset, const uint8_t *data, size_t size) {
    while (size) {
        size_t at = offset % SECTOR, n = MIN(size, SECTOR - at);
        if (!select_sector(offset / SECTOR)) {
            return false;
        }
        if (data) {
            memcpy(cache + at, data, n);
            data += n;
        } else {
            memset(cache + at, 0xFF, n);
        }
        dirty = true;
        offset += n;
        size -= n;
    }
    return true;
}

typedef struct { mp_obj_base_t base; } flash_obj_t;
extern const mp_obj_type_t openmv_flash_type;
static const flash_obj_t flash_obj = {{&openmv_flash_type}};

static mp_obj_t flash_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n_args, n_kw, 0, 0, false);
    return MP_OBJ_FROM_PTR(&flash_obj);
}

static uint32_t range(size_t n_args, const mp_obj_t *args, size_t size) {
    uint32_t block = mp_obj_get_int(args[1]), offset = n_args == 4 ? mp_obj_get_int(args[3]) : 0;
    uint64_t start = (uint64_t)block * BLOCK + offset;
    if (start + size > SECTORS * SECTOR) {
        mp_raise_OSError(MP_EINVAL);
    }
    return start;
}

static mp_obj_t flash_readblocks(size_t n_args, const mp_obj_t *args) {
    mp_buffer_info_t buf;
    mp_get_buffer_raise(args[2], &buf, MP_BUFFER_WRITE);
    uint32_t offset = range(n_args, args, buf.len);
    for (size_t done = 0; done < buf.len;) {
        size_t at = (offset + done) % SECTOR, n = MIN(buf.len - done, SECTOR - at);
        int sector = (offset + done) / SECTOR;
        const uint8_t *from = sector == cached ? cache : _littlefs + sector * SECTOR;
        memcpy((uint8_t *)buf.buf + done, from + at, n);
        done += n;
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(flash_readblocks_obj, 3, 4, flash_readblocks);

static mp_obj_t flash_writeblocks(size_t n_args, const mp_obj_t *args) {
    mp_buffer_info_t buf;
    mp_get_buffer_raise(args[2], &buf, MP_BUFFER_READ);
    uint32_t offset = range(n_args, args, buf.len);
    // Without an offset the block is erased first, as the block device protocol wants.
    bool good = store(offset, buf.buf, buf.len);
    return MP_OBJ_NEW_SMALL_INT(good ? 0 : -MP_EIO);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(flash_writeblocks_obj, 3, 4, flash_writeblocks);

static mp_obj_t flash_ioctl(mp_obj_t self, mp_obj_t op_in, mp_obj_t arg_in) {
    bool good = true;
    switch (mp_obj_get_int(op_in)) {
        case MP_BLOCKDEV_IOCTL_DEINIT:
        case MP_BLOCKDEV_IOCTL_SYNC:
            good = flush();
            break;
        case MP_BLOCKDEV_IOCTL_INIT:
            break;
        case MP_BLOCKDEV_IOCTL_BLOCK_COUNT:
            return MP_OBJ_NEW_SMALL_INT(SECTORS * SECTOR / BLOCK);
        case MP_BLOCKDEV_IOCTL_BLOCK_SIZE:
            return MP_OBJ_NEW_SMALL_INT(BLOCK);
        case MP_BLOCKDEV_IOCTL_BLOCK_ERASE:
            good = store(mp_obj_get_int(arg_in) * BLOCK, NULL, BLOCK);
            break;
        default:
            return mp_const_none;
    }
    return MP_OBJ_NEW_SMALL_INT(good ? 0 : -MP_EIO);
}
static MP_DEFINE_CONST_FUN_OBJ_3(flash_ioctl_obj, flash_ioctl);

static const mp_rom_map_elem_t flash_locals_table[] = {
    { MP_ROM_QSTR(MP_QSTR_readblocks), MP_ROM_PTR(&flash_readblocks_obj) },
    { MP_ROM_QSTR(MP_QSTR_writeblocks), MP_ROM_PTR(&flash_writeblocks_obj) },
    { MP_ROM_QSTR(MP_QSTR_ioctl), MP_ROM_PTR(&flash_ioctl_obj) },
};
static MP_DEFINE_CONST_DICT(flash_locals, flash_locals_table);

MP_DEFINE_CONST_OBJ_TYPE(openmv_flash_type, MP_QSTR_Flash, MP_TYPE_FLAG_NONE,
    make_new, flash_make_new, locals_dict, &flash_locals);

void flash_init(void) {
    NVIC_SetPriority(FLASH_IRQn, IRQ_PRI_FLASH >> 4);
    NVIC_EnableIRQ(FLASH_IRQn);
}
