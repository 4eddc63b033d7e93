import machine
import sys
import vfs

bdev = machine.Flash()
try:
    fs = vfs.VfsLfs2(bdev, progsize=32)
except OSError:
    vfs.VfsLfs2.mkfs(bdev, progsize=32)
    fs = vfs.VfsLfs2(bdev, progsize=32)
vfs.mount(fs, "/")
sys.path.append("/lib")
del bdev, fs

import network

network.LAN().active(True)
