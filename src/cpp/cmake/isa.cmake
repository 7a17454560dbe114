# The only place with -m flags. lpn_add_isa(target): compiles every kernels/*/x86_<isa>.cc (or arm_neon.cc) for its own
# instruction set and tells the rest of the build, through LPN_HAVE_<ISA>, which tiers exist. An architecture or compiler
# without a tier builds without it; scalar.cc always builds.
include(CheckCXXCompilerFlag)

set(LPN_AVX2_FLAGS -mavx2 -mfma -mf16c)
set(LPN_AVX512_FLAGS -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx2 -mfma -mf16c -mprefer-vector-width=512)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # avx512fintrin.h starts its own "undefined" vectors from themselves (GCC bug 105593).
  list(APPEND LPN_AVX512_FLAGS -Wno-uninitialized -Wno-maybe-uninitialized)
endif()

# Coverage and undefined-behaviour checks of the unrolled kernels take clang minutes a file and tell a fuzzer nothing about
# graphs; the preset asan has the latter.
set(LPN_KERNEL_FLAGS "")
if(LPN_SANITIZE MATCHES "fuzzer-no-link")
  set(LPN_KERNEL_FLAGS -fno-sanitize=undefined,float-cast-overflow,fuzzer-no-link)
endif()

function(lpn_add_tier target tier prefix)
  set(flags ${ARGN} ${LPN_KERNEL_FLAGS})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/src/cpp/kernels/*/${prefix}_${tier}.cc)
  if(NOT sources)
    return()
  endif()
  target_sources(${target} PRIVATE ${sources})
  set_source_files_properties(${sources} PROPERTIES COMPILE_OPTIONS "${flags}")
  string(TOUPPER ${tier} upper)
  target_compile_definitions(${target} PUBLIC LPN_HAVE_${upper}=1)
endfunction()

function(lpn_add_isa target)
  file(GLOB scalar CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/src/cpp/kernels/*/scalar.cc)
  target_sources(${target} PRIVATE ${scalar})
  set_source_files_properties(${scalar} PROPERTIES COMPILE_OPTIONS "${LPN_KERNEL_FLAGS}")
  # A 32-bit build on a 64-bit kernel calls its processor x86_64 too.
  if(CMAKE_SIZEOF_VOID_P EQUAL 8 AND CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    string(REPLACE ";" " " avx2_flags "${LPN_AVX2_FLAGS}")
    string(REPLACE ";" " " avx512_flags "${LPN_AVX512_FLAGS}")
    check_cxx_compiler_flag("${avx2_flags}" LPN_COMPILER_AVX2)
    check_cxx_compiler_flag("${avx512_flags}" LPN_COMPILER_AVX512)
    if(LPN_COMPILER_AVX2)
      lpn_add_tier(${target} avx2 x86 ${LPN_AVX2_FLAGS})
    endif()
    if(LPN_COMPILER_AVX512)
      lpn_add_tier(${target} avx512 x86 ${LPN_AVX512_FLAGS})
    endif()
  elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
    lpn_add_tier(${target} neon arm)
  endif()
endfunction()
