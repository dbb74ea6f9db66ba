#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

#include "base/atomic_file.h"
#include "base/formatted.h"
#include "base/plot_path.h"
#include "unroll/error.h"
#include "unroll/notebook.h"

extern char** environ;

namespace unroll {
namespace {

// A folder of our own that goes with its content.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::error_code error;
    const auto parent = std::filesystem::temp_directory_path(error);
    if (error) {
      throw Error(formatted("no folder for temporary files: {}", error.message()));
    }
    auto name = (parent / "unroll-plot-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) {
      throw Error(formatted("{}: cannot be made: {}", name, std::strerror(errno)));
    }
    path_ = name;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// Runs `gnuplot ARGUMENT`, its own output going nowhere. False when it cannot be run or fails.
bool run_gnuplot(const std::string& argument) {
  // A process group of its own: the terminal's Ctrl-C is the trainer's to answer.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    posix_spawn_file_actions_addopen(&actions, stream, "/dev/null", O_RDWR, 0);
  }
  std::string program = "gnuplot";
  std::string copy = argument;
  char* const argv[] = {program.data(), copy.data(), nullptr};
  pid_t child = 0;
  const int error = posix_spawnp(&child, program.c_str(), &actions, &attributes, argv, environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    return false;
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) {
      return false;
    }
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// A string in gnuplot's single quotes.
std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) {
    result += c;
    if (c == '\'') {
      result += c;
    }
  }
  return result + "'";
}

std::string content_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

bool plot_with_gnuplot(const ScratchFolder& folder, const std::string& script) {
  const auto file = folder.path() / "plot.gp";
  std::ofstream(file) << script;
  return run_gnuplot(file.string());
}

}  // namespace

Animator::Animator(std::filesystem::path path, PlotOptions options)
    : path_(std::move(path)), options_(std::move(options)), curves_(options_.legend.size()) {
  if (!path_.empty()) {
    check_plot_path(path_);
  }
  if (!run_gnuplot("--version")) {
    throw Error("no plot: gnuplot cannot be run, expected it on the PATH (package gnuplot-nox)");
  }
}

void Animator::add(double x, double y, std::size_t curve) {
  if (curve >= curves_.size()) {
    throw Error(formatted("curve must be in [0, {}), got {}", curves_.size(), curve));
  }
  curves_[curve].emplace_back(x, y);
  if (!path_.empty() && (!drawn_ || since_drawn_.stop() >= options_.redraw_seconds)) {
    draw();
  }
}

void Animator::draw() {
  const ScratchFolder folder;
  const auto image = folder.path() / ("plot" + path_.extension().string());
  const std::string terminal = path_.extension() == ".svg"
                                   ? "svg size 640,440 dynamic background 'white'"
                                   : "pngcairo size 960,660 fontscale 1.3";
  if (!plot_with_gnuplot(folder, script(terminal, image))) {
    throw Error(formatted("{}: gnuplot could not draw it", path_.string()));
  }
  const auto content = content_of(image);
  AtomicFile file(path_);
  file.write(content.data(), content.size());
  file.commit();
  drawn_ = true;
  since_drawn_.start();
}

std::string Animator::text(int columns, int rows) const {
  const ScratchFolder folder;
  const auto image = folder.path() / "plot.txt";
  if (!plot_with_gnuplot(folder, script(formatted("dumb size {},{}", columns, rows), image))) {
    throw Error("gnuplot could not draw the text plot");
  }
  return content_of(image);
}

std::string Animator::script(const std::string& terminal,
                             const std::filesystem::path& output) const {
  std::string text = formatted(
      "set terminal {}\nset output {}\nset xlabel {}\nset ylabel {}\nset grid\n"
      "set xrange [{}:{}]\nset key top right\n",
      terminal, quoted(output.string()), quoted(options_.xlabel), quoted(options_.ylabel),
      options_.xmin, options_.xmax > options_.xmin ? formatted("{}", options_.xmax) : "*");
  for (std::size_t i = 0; i < curves_.size(); ++i) {
    text += formatted("$curve{} << EOD\n", i);
    for (const auto& [x, y] : curves_[i]) {
      text += formatted("{} {}\n", x, y);
    }
    text += "EOD\n";
  }
  text += "plot ";
  bool any = false;
  for (std::size_t i = 0; i < curves_.size(); ++i) {
    if (!curves_[i].empty()) {
      text += formatted("{}$curve{} with lines lw 2 title {}", any ? ", " : "", i,
                        quoted(options_.legend[i]));
      any = true;
    }
  }
  return text + (any ? "\n" : "[][0:1] NaN notitle\n");
}

}  // namespace unroll
