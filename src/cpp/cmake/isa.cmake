# The only place with -m flags. lpn_add_isa(target): compiles every kernels/*/x86_<set>.cc (or arm_<set>.cc) for the set of CPU
# features that base/isa_sets.inc gives that name, and tells the rest of the build through LPN_HAVE_<SET>, 0 or 1, whether it has
# kernels for it. An architecture or compiler without a set builds without it; scalar.cc always builds.
include(CheckCXXCompilerFlag)

set(LPN_ISA_SETS ${CMAKE_CURRENT_LIST_DIR}/../base/isa_sets.inc)

# Kernels throw nothing, and tables for unwinding them would be weak symbols.
set(LPN_ISA_FLAGS -fno-exceptions)

# What files with AVX-512 are compiled with beside their features.
set(LPN_AVX512_FLAGS -mprefer-vector-width=512)
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

# The kernels of one set, if there are any and the compiler knows its flags.
function(lpn_add_set target files have)
  set(flags ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/src/cpp/kernels/*/${files})
  set(built 0)
  if(sources)
    string(REPLACE LPN_HAVE LPN_COMPILER compiler_has ${have})
    string(REPLACE ";" " " words "${flags}")
    check_cxx_compiler_flag("${words}" ${compiler_has})
    set(built ${${compiler_has}})
  endif()
  if(built)
    target_sources(${target} PRIVATE ${sources})
    set_source_files_properties(${sources} PROPERTIES COMPILE_OPTIONS "${flags};${LPN_ISA_FLAGS};${LPN_KERNEL_FLAGS}")
  endif()
  target_compile_definitions(${target} PUBLIC ${have}=$<BOOL:${built}>)
endfunction()

function(lpn_add_isa target)
  file(GLOB scalar CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/src/cpp/kernels/*/scalar.cc)
  target_sources(${target} PRIVATE ${scalar})
  set_source_files_properties(${scalar} PROPERTIES COMPILE_OPTIONS "${LPN_KERNEL_FLAGS}")
  set(prefix none)
  # A 32-bit build on a 64-bit kernel calls its processor x86_64 too.
  if(CMAKE_SIZEOF_VOID_P EQUAL 8 AND CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    set(prefix x86)
  elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
    set(prefix arm)
  endif()
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${LPN_ISA_SETS})
  file(READ ${LPN_ISA_SETS} table)
  string(REGEX MATCHALL "LPN_ISA_SET[(][a-zA-Z0-9]+, [a-z0-9]+, LPN_HAVE[^)]*" rows "${table}")
  foreach(row IN LISTS rows)
    string(REGEX REPLACE "^LPN_ISA_SET.|[ \n]" "" row "${row}")
    string(REGEX REPLACE "[,|]" ";" row "${row}")
    list(GET row 0 set)
    list(GET row 1 name)
    list(GET row 2 have)
    list(GET row 3 extends)
    list(SUBLIST row 4 -1 features)
    set(flags_${set} ${flags_${extends}})
    if(prefix STREQUAL "x86")
      string(TOLOWER "${features}" flags)
      string(REPLACE "feature::k" "-m" flags "${flags}")
      list(APPEND flags_${set} ${flags})
    endif()
    set(beside "")
    if("-mavx512f" IN_LIST flags_${set})
      set(beside ${LPN_AVX512_FLAGS})
    endif()
    lpn_add_set(${target} ${prefix}_${name}.cc ${have} ${flags_${set}} ${beside})
  endforeach()
endfunction()
