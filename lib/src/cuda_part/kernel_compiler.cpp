#include "cuda_part/kernel_compiler.h"

#include <atomic>
#include <memory>
#include <utility>

#include "base/formatted.h"
#include "cuda_part/nvrtc.h"
#include "kernels/cuda/sources.h"
#include "text/fingerprint.h"

namespace unroll {
namespace {

class CachingCompiler {
 public:
  CachingCompiler(KernelCache cache, std::function<void(const std::string&)> notice)
      : cache_(std::move(cache)), notice_(std::move(notice)) {}

  CompiledKernel compile(const std::string& name, int capability) {
    static const Nvrtc nvrtc;
    const auto target = nvrtc.target(capability);
    const auto key = key_of(name, target, nvrtc.version());
    std::optional<CompiledKernel> kept;
    attempt([&] { kept = cache_.find(key); });
    if (kept) {
      return *kept;
    }
    auto compiled = nvrtc.compile(name, target);
    attempt([&] { cache_.keep(key, compiled); });
    return compiled;
  }

 private:
  // Of all that the code depends on.
  static std::string key_of(const std::string& name, const std::string& target,
                            const std::string& version) {
    Fingerprinter all;
    for (const std::string& text : {name, target, version, Nvrtc::settings()}) {
      all.feed(text);
      all.end_file();
    }
    for (const auto& source : kernel_sources()) {
      all.feed(source.text);
      all.end_file();
    }
    return all.fingerprint().hash;
  }

  template <typename Work>
  void attempt(const Work& work) {
    try {
      work();
    } catch (const Error& error) {
      if (!is_told_.exchange(true) && notice_) {
        notice_(formatted("kernels for the GPU are compiled anew: {}", error.what()));
      }
    }
  }

  KernelCache cache_;
  std::function<void(const std::string&)> notice_;
  std::atomic<bool> is_told_ = false;
};

}  // namespace

CompileKernel caching_compiler(KernelCache cache, std::function<void(const std::string&)> notice) {
  const auto compiler = std::make_shared<CachingCompiler>(std::move(cache), std::move(notice));
  return [compiler](const std::string& name, int capability) {
    return compiler->compile(name, capability);
  };
}

}  // namespace unroll
