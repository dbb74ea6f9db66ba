// Runs the command as often as it is asked to. LibTorch takes half a second to load, more than most
// calls of the command themselves: here it is loaded once, and each call is a fork.
// tests/cli/command.py asks.
//
//     command_server REQUESTS REPLIES    two open file descriptors
//
// A request is the number of strings as a line, then those strings, a zero byte after each: the
// files for stdin, stdout and stderr, the folder, the arguments. The reply is the exit status as
// waitpid gives it, a line.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#define main unroll_main
#include "main.cpp"
#undef main

namespace {

constexpr int kNotStarted = 127;

// One request; empty at the end of them.
std::vector<std::string> next_request(std::FILE* requests) {
  std::size_t count = 0;
  if (std::fscanf(requests, "%zu", &count) != 1 || std::fgetc(requests) != '\n') {
    return {};
  }
  std::vector<std::string> strings(count);
  for (auto& string : strings) {
    for (int c = std::fgetc(requests); c > 0; c = std::fgetc(requests)) {
      string.push_back(static_cast<char>(c));
    }
  }
  return strings;
}

[[noreturn]] void run_command(std::vector<std::string>& request) {
  constexpr int kFlags[] = {O_RDONLY, O_WRONLY | O_CREAT | O_TRUNC, O_WRONLY | O_CREAT | O_TRUNC};
  for (int stream = 0; stream < 3; ++stream) {
    const int file = open(request[stream].c_str(), kFlags[stream] | O_CLOEXEC, 0600);
    if (file < 0 || dup2(file, stream) < 0) {
      std::_Exit(kNotStarted);
    }
  }
  if (chdir(request[3].c_str()) != 0) {
    std::_Exit(kNotStarted);
  }
  request[3] = "unroll";
  std::vector<char*> arguments;
  for (std::size_t i = 3; i < request.size(); ++i) {
    arguments.push_back(request[i].data());
  }
  const auto count = static_cast<int>(arguments.size());
  arguments.push_back(nullptr);
  std::exit(unroll_main(count, arguments.data()));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: command_server REQUESTS REPLIES\n");
    return 2;
  }
  std::FILE* const requests = fdopen(std::atoi(argv[1]), "r");
  const int replies = std::atoi(argv[2]);
  for (auto request = next_request(requests); request.size() >= 4;
       request = next_request(requests)) {
    const pid_t child = fork();
    if (child == 0) {
      close(fileno(requests));
      close(replies);
      run_command(request);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child || dprintf(replies, "%d\n", status) < 0) {
      return 1;
    }
  }
  return 0;
}
