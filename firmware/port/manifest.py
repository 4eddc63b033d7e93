freeze("../modules")
include("$(MPY_DIR)/extmod/asyncio")
