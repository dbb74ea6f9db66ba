#include <net/if.h>
#include <netdb.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cmath>
#include <exception>
#include <string_view>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/formatted.h"
#include "ranks/process_group.h"
#include "ranks/rank_lost.h"

namespace unroll {
namespace {

using std::chrono::milliseconds;

// The address of this machine's end of a connection to a host: others reach it there if they reach
// the host. Its port does not matter, as nothing is sent. Empty where there is no such way.
std::string own_address_towards(const std::string& host, int64_t port) {
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), std::to_string(port).c_str(), &wanted, &found) != 0) {
    return {};
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> addresses(found, freeaddrinfo);
  std::array<char, NI_MAXHOST> text{};
  for (const auto* at = addresses.get(); at != nullptr && text[0] == '\0'; at = at->ai_next) {
    const int socket = ::socket(at->ai_family, at->ai_socktype, 0);
    sockaddr_storage own{};
    socklen_t size = sizeof own;
    auto* address = reinterpret_cast<sockaddr*>(&own);
    if (socket >= 0 && connect(socket, at->ai_addr, at->ai_addrlen) == 0 &&
        getsockname(socket, address, &size) == 0) {
      getnameinfo(address, size, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST);
    }
    if (socket >= 0) {
      close(socket);
    }
  }
  return text.data();
}

// Threads that are made while it exists do not interrupt one that computes, on its core.
//
// Gloo's thread that waits for messages asks for them over and over while another of its threads
// holds a connection. Where there is one core for both, the kernel would let it do so to the end of
// its slice, 4 ms, in place of the one that it waits for. On two cores, of which each had a rank, a
// sum of 1.2 MB took 2.6 ms on average, and takes 0.8.
class YieldingThreads {
 public:
  YieldingThreads() : policy_(sched_getscheduler(0)) {
    sched_getparam(0, &param_);
    if (policy_ == SCHED_OTHER) {
      sched_setscheduler(0, SCHED_BATCH, &param_);
    }
  }
  ~YieldingThreads() { sched_setscheduler(0, policy_, &param_); }
  YieldingThreads(const YieldingThreads&) = delete;
  YieldingThreads& operator=(const YieldingThreads&) = delete;

 private:
  int policy_;
  sched_param param_{};
};

// The address at which others are to reach this rank; empty where that is left to its interface.
std::string checked_address(const RanksOptions& options) {
  if (!options.interface.empty()) {
    if (if_nametoindex(options.interface.c_str()) == 0) {
      throw Error(formatted("there is no network interface {}", options.interface));
    }
    return {};
  }
  auto own = own_address_towards(options.address, options.port);
  const bool is_loopback = own.starts_with("127.") || own == "::1";
  if (is_loopback && options.local_world > 0 && options.local_world < options.world) {
    throw Error(
        formatted("{} is {} here, which other machines cannot reach: give an address of "
                  "the network, or its interface (GLOO_SOCKET_IFNAME)",
                  options.address, own));
  }
  return own;
}

// Listens there, on any port that is free.
std::shared_ptr<::gloo::transport::Device> listening_device(const std::string& interface,
                                                            const std::string& address) {
  const YieldingThreads threads;
  if (!interface.empty()) {
    return c10d::ProcessGroupGloo::createDeviceForInterface(interface);
  }
  return address.empty() ? c10d::ProcessGroupGloo::createDefaultDevice()
                         : c10d::ProcessGroupGloo::createDeviceForHostname(address);
}

// What went wrong, from a message that begins with the place in somebody's source and has more
// lines and sentences: `Connection closed by peer [127.0.0.1]:50932`.
std::string gist(std::string_view message) {
  message = message.substr(0, message.find('\n'));
  message = message.substr(0, message.find(". "));
  if (const auto place = message.find("] "); message.starts_with('[') && place != message.npos) {
    message.remove_prefix(place + 2);
  }
  while (message.ends_with('.') || message.ends_with(' ')) {
    message.remove_suffix(1);
  }
  return std::string(message);
}

bool is_of_time(const std::string& why) {
  return why.find("imed out") != std::string::npos || why.find("imeout") != std::string::npos;
}

class GlooRanks : public Ranks {
 public:
  explicit GlooRanks(const RanksOptions& options) : options_(options) {
    const milliseconds timeout(static_cast<int64_t>(std::ceil(1000 * options.timeout)));
    meet([&] {
      const auto address = checked_address(options);
      c10d::TCPStoreOptions at;
      at.port = static_cast<uint16_t>(options.port);
      at.isServer = options.rank == 0 && !options.launcher_listens;
      at.timeout = timeout;
      auto tcp = c10::make_intrusive<c10d::TCPStore>(options.address, at);
      store_ = c10::make_intrusive<c10d::PrefixStore>("unroll/" + options.session, std::move(tcp));
      store_->setTimeout(timeout);
      auto settings = c10d::ProcessGroupGloo::Options::create(timeout);
      // Only now that the ranks have met: before, its port could be the one where they meet.
      settings->devices = {listening_device(options.interface, address)};
      settings->threads = kThreads;
      group_ = c10::make_intrusive<c10d::ProcessGroupGloo>(
          store_, static_cast<int>(options.rank), static_cast<int>(options.world), settings);
    });
  }

  int64_t rank() const override { return options_.rank; }
  int64_t world() const override { return options_.world; }
  RankBackend backend() const override { return options_.backend; }
  double timeout() const override { return options_.timeout; }

  Wait start_all_reduce(const torch::Tensor& values) override {
    auto here = values.is_cpu() ? values : values.to(torch::kCPU);
    auto work = attempt([&] {
      std::vector<torch::Tensor> tensors{here};
      return group_->allreduce(tensors);
    });
    return [this, values, here = std::move(here), work = std::move(work)] {
      attempt([&] { return work->wait(); });
      if (!values.is_cpu()) {
        values.copy_(here);
      }
    };
  }

  void broadcast(const torch::Tensor& values) override {
    const torch::NoGradGuard no_grad;
    auto here = values.detach().to(torch::kCPU, /*non_blocking=*/false, /*copy=*/true).contiguous();
    attempt([&] {
      std::vector<torch::Tensor> tensors{here};
      return group_->broadcast(tensors)->wait();
    });
    if (rank() > 0) {
      values.copy_(here);  // which whoever packs the values notices
    }
  }

  std::string broadcast(const std::string& text) override {
    const auto key = formatted("text/{}", texts_++);
    return attempt([&] {
      if (options_.rank == 0) {
        store_->set(key, text);
        return text;
      }
      const auto bytes = store_->get(key);
      return std::string(bytes.begin(), bytes.end());
    });
  }

 private:
  static constexpr int kThreads = 2;  // so that two buckets of gradients travel at a time

  // The first meeting, at which anything can be wrong with the place.
  template <typename Work>
  void meet(const Work& work) const {
    try {
      work();
    } catch (const std::exception& error) {
      const auto why = gist(error.what());
      if (is_of_time(why)) {
        throw RankLost(formatted("{} ranks did not meet at {}:{} within {:g} s: {}", world(),
                                 options_.address, options_.port, options_.timeout, why));
      }
      throw Error(formatted("{} ranks cannot meet at {}:{}: {}", world(), options_.address,
                            options_.port, why));
    }
  }

  template <typename Work>
  std::invoke_result_t<Work> attempt(const Work& work) const {
    try {
      return work();
    } catch (const std::exception& error) {
      const auto why = gist(error.what());
      if (is_of_time(why)) {
        throw silent_rank(options_.timeout);
      }
      throw gone_rank(why);
    }
  }

  RanksOptions options_;
  c10::intrusive_ptr<c10d::Store> store_;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> group_;
  int64_t texts_ = 0;
};

}  // namespace

std::shared_ptr<Ranks> join_process_group(const RanksOptions& options) {
  return std::make_shared<GlooRanks>(options);
}

std::string ranks_problem() { return {}; }

}  // namespace unroll
