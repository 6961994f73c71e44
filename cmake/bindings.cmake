# One extension module pyollama.native.<name> for each csrc/bindings/pyollama/native/<name>.pyx. The folders are
# the package's: Cython finds the .pxd of "pyollama.native.model" by its path below an include folder.
#
# Cython is run as "python -m cython" by a command of our own: under pip's build isolation the paths of
# helper programs are new at every run, and a changed command line would run it again for every module.

set(sabi_component ${SKBUILD_SABI_COMPONENT})
find_package(Python 3.11 REQUIRED COMPONENTS Interpreter Development.Module ${sabi_component})

execute_process(
    COMMAND "${Python_EXECUTABLE}" -c "import Cython; print(Cython.__version__)"
    OUTPUT_VARIABLE cython_version
    OUTPUT_STRIP_TRAILING_WHITESPACE
    RESULT_VARIABLE cython_result)
if(NOT cython_result EQUAL 0 OR cython_version VERSION_LESS 3.1)
    message(FATAL_ERROR
        "Cython 3.1 or later is needed by ${Python_EXECUTABLE}, found '${cython_version}'. "
        "Install it there (pip install 'cython>=3.1'), or build with pip, which brings it.")
endif()

# Generated code: what Cython writes is not ours to tidy, but a narrowing or a sign error in it is.
set(binding_warnings -Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers)
if(PYOLLAMA_WERROR)
    list(APPEND binding_warnings -Werror)
endif()

set(bindings_dir "${PROJECT_SOURCE_DIR}/csrc/bindings")
# Another version of Cython writes to another folder, so that nothing of the old one is left in use.
set(cython_dir "${CMAKE_BINARY_DIR}/cython-${cython_version}")
file(MAKE_DIRECTORY "${cython_dir}")
file(GLOB binding_sources CONFIGURE_DEPENDS "${bindings_dir}/pyollama/native/*.pyx")

set(PYOLLAMA_EXTENSIONS "")
foreach(source IN LISTS binding_sources)
    cmake_path(GET source STEM name)
    set(generated "${cython_dir}/${name}.cpp")
    add_custom_command(
        OUTPUT "${generated}"
        COMMAND "${Python_EXECUTABLE}" -m cython --cplus -3 -M
                --module-name "pyollama.native.${name}"
                -I "${bindings_dir}"
                --output-file "${generated}" "${source}"
        DEPENDS "${source}"
        DEPFILE "${generated}.dep"
        COMMENT "Cython: ${name}.pyx"
        VERBATIM)
    set(target "pyollama-native-${name}")
    if(SKBUILD_SABI_VERSION)
        python_add_library(${target} MODULE WITH_SOABI USE_SABI ${SKBUILD_SABI_VERSION} "${generated}")
    else()
        python_add_library(${target} MODULE WITH_SOABI "${generated}")
    endif()
    target_link_libraries(${target} PRIVATE pyollama-engine)
    target_compile_options(${target} PRIVATE ${binding_warnings})
    set_target_properties(${target} PROPERTIES
        OUTPUT_NAME "${name}"
        CXX_VISIBILITY_PRESET hidden
        VISIBILITY_INLINES_HIDDEN ON)
    list(APPEND PYOLLAMA_EXTENSIONS ${target})
endforeach()
