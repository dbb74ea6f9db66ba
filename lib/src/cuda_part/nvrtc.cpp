#include "cuda_part/nvrtc.h"

#include <c10/core/DeviceType.h>
#include <dlfcn.h>

#include <array>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

#include "base/formatted.h"
#include "cuda_part/function_finder.h"
#include "kernels/cuda/sources.h"

namespace unroll {

// A build need not have nvrtc.h, which is in a package of its own.
struct Nvrtc::Functions {
  using Program = void*;

  int (*version)(int*, int*);
  const char* (*get_error_string)(int);
  int (*get_num_supported_archs)(int*);
  int (*get_supported_archs)(int*);
  int (*create_program)(Program*, const char*, const char*, int, const char* const*,
                        const char* const*);
  int (*destroy_program)(Program*);
  int (*add_name_expression)(Program, const char*);
  int (*compile_program)(Program, int, const char* const*);
  int (*get_lowered_name)(Program, const char*, const char**);
  int (*get_cubin_size)(Program, std::size_t*);
  int (*get_cubin)(Program, char*);
  int (*get_ptx_size)(Program, std::size_t*);
  int (*get_ptx)(Program, char*);
  int (*get_program_log_size)(Program, std::size_t*);
  int (*get_program_log)(Program, char*);

  static const Functions& loaded() {
    static const Functions all = load();
    return all;
  }

 private:
  // LibTorch's own stub depends on the compiler and on the driver, and so finds the right one.
  // Where there is no driver, the compiler's packages beside LibTorch, then the system's.
  static void* open() {
    std::vector<std::string> names{"libnvrtc.so.13", "libnvrtc.so.12"};
    Dl_info info{};
    const auto* in_libtorch = reinterpret_cast<const void*>(&c10::DeviceTypeName);
    if (dladdr(in_libtorch, &info) != 0 && info.dli_fname != nullptr) {
      const auto folder = std::filesystem::absolute(info.dli_fname).parent_path();
      const auto packages = folder / "../../nvidia";
      names.insert(names.begin(),
                   {folder / "libcaffe2_nvrtc.so", packages / "cu13/lib/libnvrtc.so.13",
                    packages / "cuda_nvrtc/lib/libnvrtc.so.12"});
    }
    for (const auto& name : names) {
      if (void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL); library != nullptr) {
        return library;
      }
    }
    throw Error(
        "NVRTC, which compiles them, was not found: neither LibTorch's, nor libnvrtc.so.13 "
        "or .12; the package cuda-toolkit[nvrtc] of LibTorch's CUDA version has it");
  }

  static Functions load() {
    const FunctionFinder find(open(), "NVRTC, which compiles them and must be 12.1 or later,",
                              "nvrtc");
    Functions all{};
    find("Version", all.version);
    find("GetErrorString", all.get_error_string);
    find("GetNumSupportedArchs", all.get_num_supported_archs);
    find("GetSupportedArchs", all.get_supported_archs);
    find("CreateProgram", all.create_program);
    find("DestroyProgram", all.destroy_program);
    find("AddNameExpression", all.add_name_expression);
    find("CompileProgram", all.compile_program);
    find("GetLoweredName", all.get_lowered_name);
    find("GetCUBINSize", all.get_cubin_size);
    find("GetCUBIN", all.get_cubin);
    find("GetPTXSize", all.get_ptx_size);
    find("GetPTX", all.get_ptx);
    find("GetProgramLogSize", all.get_program_log_size);
    find("GetProgramLog", all.get_program_log);
    return all;
  }
};

namespace {

// It reads no file: even what kernels include of the standard library is given here.
constexpr const char* kCstdint =
    "#pragma once\n"
    "using uint8_t = unsigned char;\n"
    "using int32_t = int;\nusing uint32_t = unsigned;\n"
    "using int64_t = long;\nusing uint64_t = unsigned long;\n";
constexpr const char* kProgram = "#include \"kernels/cuda/kernels.h\"\n";
constexpr const char* kStandard = "--std=c++20";
constexpr const char* kReport = "--ptxas-options=-v";

// The first line of a compiler's log that reports an error.
std::string first_error(const std::string& log) {
  const auto at = log.find("error");
  const auto begin = at == std::string::npos ? 0 : log.rfind('\n', at) + 1;
  const auto line = log.substr(begin, log.find('\n', begin) - begin);
  return line.substr(0, line.find('\0'));  // which ends the log
}

}  // namespace

std::string Nvrtc::settings() { return formatted("{}{}{}", kCstdint, kProgram, kStandard); }

Nvrtc::Nvrtc() : functions_(Functions::loaded()) {
  int major = 0;
  int minor = 0;
  functions_.version(&major, &minor);
  version_ = formatted("{}.{}", major, minor);
  // PTX 8.1, in which a cluster's stores are written, is 12.1's.
  if (std::pair(major, minor) < std::pair(12, 1)) {
    throw Error(formatted("NVRTC, which compiles them, is {}, too old: 12.1 is needed", version_));
  }
}

std::string Nvrtc::target(int capability) const {
  int count = 0;
  functions_.get_num_supported_archs(&count);
  std::vector<int> known(static_cast<std::size_t>(count));
  functions_.get_supported_archs(known.data());
  int last_before = 0;
  for (const int architecture : known) {
    if (architecture == capability) {
      return formatted("sm_{}", architecture);
    }
    if (architecture < capability && architecture > last_before) {
      last_before = architecture;
    }
  }
  return formatted("compute_{}", last_before);
}

CompiledKernel Nvrtc::compile(const std::string& kernel, const std::string& target,
                              std::string* report) const {
  std::vector<const char*> texts{kCstdint};
  std::vector<const char*> names{"cstdint"};
  for (const auto& source : kernel_sources()) {
    texts.push_back(source.text.data());
    names.push_back(source.name.data());
  }
  const auto& call = functions_;
  const auto require = [&](int error) {
    if (error != 0) {
      throw Error(formatted("{} cannot be compiled: {}", kernel, call.get_error_string(error)));
    }
  };
  Functions::Program created = nullptr;
  require(call.create_program(&created, kProgram, "unroll.cu", static_cast<int>(texts.size()),
                              texts.data(), names.data()));
  const auto destroy = [&](void* program) { call.destroy_program(&program); };
  const std::unique_ptr<void, decltype(destroy)> program(created, destroy);
  const auto text_of = [&](auto size_of, auto get) {
    std::size_t size = 0;
    require(size_of(program.get(), &size));
    std::string text(size, '\0');
    require(get(program.get(), text.data()));
    return text;
  };
  require(call.add_name_expression(program.get(), kernel.c_str()));
  const auto architecture = formatted("--gpu-architecture={}", target);
  const std::array options{architecture.c_str(), kStandard, kReport};
  const int error = call.compile_program(program.get(), report == nullptr ? 2 : 3, options.data());
  const auto log = text_of(call.get_program_log_size, call.get_program_log);
  if (error != 0) {
    throw Error(formatted("{} cannot be compiled for {} by NVRTC {}: {}", kernel, target, version_,
                          first_error(log)));
  }
  if (report != nullptr) {
    *report = log;
  }
  const char* name = nullptr;
  require(call.get_lowered_name(program.get(), kernel.c_str(), &name));
  CompiledKernel compiled{.name = name, .code = {}};
  compiled.code = target.starts_with("sm_") ? text_of(call.get_cubin_size, call.get_cubin)
                                            : text_of(call.get_ptx_size, call.get_ptx);
  return compiled;
}

}  // namespace unroll
