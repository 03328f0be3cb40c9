# The kernels and their tests for 64-bit ARM, static, so that qemu-user runs them without ARM libraries:
#
#     cmake -G Ninja -S . -B build/arm -DCMAKE_TOOLCHAIN_FILE=tests/cross/aarch64.cmake \
#           "-DHEARTH_ROOMS=base;quant;kern"
#
# The libraries that other rooms need are not asked for. cmocka is stood in for by cmocka.h beside this file.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_EXE_LINKER_FLAGS_INIT -static)
set(ENV{PKG_CONFIG_LIBDIR} /usr/lib/aarch64-linux-gnu/pkgconfig) # not this machine's own
set(CMOCKA_INCLUDE ${CMAKE_CURRENT_LIST_DIR} CACHE PATH "" FORCE)
set(CMOCKA_LIBRARY m CACHE STRING "" FORCE)
