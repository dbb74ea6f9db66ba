#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "support/temp_folder.h"
#include "support/thrown.h"
#include "unroll/error.h"
#include "unroll/notebook.h"

namespace unroll {
namespace {

using ::testing::HasSubstr;

// What needs gnuplot.
class AnimatorDrawing : public ::testing::Test {
 protected:
  void SetUp() override {
    // Asked of the shell: an Animator that fails to find a gnuplot that is there must not skip.
    if (std::system("command -v gnuplot > /dev/null") != 0) {
      GTEST_SKIP() << "gnuplot is not installed";
    }
  }

  static void add_points(Animator& animator) {
    animator.add(10, 17);
    animator.add(20, 9);
    animator.add(30, 1.5);
  }

  const TempFolder folder;
};

TEST_F(AnimatorDrawing, WritesSvg) {
  Animator animator(folder / "plot.svg", {.legend = {"it's train"}});
  add_points(animator);
  animator.draw();
  const auto svg = content_of(folder / "plot.svg");
  for (const char* text : {"<svg", "epoch", "perplexity", "train", "</svg>"}) {
    EXPECT_THAT(svg, HasSubstr(text));
  }
  EXPECT_EQ(folder.size(), 1);
}

TEST_F(AnimatorDrawing, WritesPng) {
  Animator animator(folder / "it's.png", {});
  add_points(animator);
  animator.draw();
  EXPECT_EQ(content_of(folder / "it's.png").substr(0, 8), "\x89PNG\r\n\x1a\n");
}

TEST_F(AnimatorDrawing, TheFirstPointDrawsTheFile) {
  Animator animator(folder / "plot.svg", {});
  EXPECT_EQ(folder.size(), 0);
  animator.add(1, 2);
  EXPECT_EQ(folder.size(), 1);
}

TEST_F(AnimatorDrawing, RedrawsWithAllPointsAtDraw) {
  Animator animator(folder / "plot.svg", {.redraw_seconds = 1e9});
  animator.add(1, 2);
  const auto before = content_of(folder / "plot.svg");
  animator.add(2, 1);
  EXPECT_EQ(content_of(folder / "plot.svg"), before);
  animator.draw();
  EXPECT_NE(content_of(folder / "plot.svg"), before);
}

TEST_F(AnimatorDrawing, DrawsTextWithLabelsAndSeveralCurves) {
  Animator animator("", {.ylabel = "bits", .legend = {"scratch", "concise"}});
  // Steep, so that the curves stay clear of the legend in the upper right corner.
  animator.add(1, 9, 0);
  animator.add(2, 1, 0);
  animator.add(1, 5, 1);
  animator.add(2, 1, 1);
  const auto text = animator.text(60, 15);
  for (const char* label : {"epoch", "scratch", "concise"}) {
    EXPECT_THAT(text, HasSubstr(label));
  }
  thrown<Error>([&] { animator.add(1, 1, 2); });
}

TEST_F(AnimatorDrawing, WithoutPointsIsStillAPlot) {
  Animator animator(folder / "plot.svg", {});
  EXPECT_NO_THROW(animator.draw());
  EXPECT_NO_THROW(Animator("", {}).text());
}

TEST_F(AnimatorDrawing, AFolderThatIsMissingIsAnErrorThatNamesTheFile) {
  Animator animator(folder / "no/plot.svg", {});
  EXPECT_THAT(thrown<Error>([&] { animator.add(1, 2); }), HasSubstr("no/plot.svg"));
}

TEST(Animator, WithoutGnuplotThereIsOneClearError) {
  const std::string path = std::getenv("PATH");
  const TempFolder empty;
  setenv("PATH", empty.path().c_str(), 1);
  const auto message = thrown<Error>([] { Animator("plot.svg", {}); });
  setenv("PATH", path.c_str(), 1);
  EXPECT_THAT(message, HasSubstr("gnuplot"));
  thrown<UsageError>([] { Animator("plot.gif", {}); });
}

}  // namespace
}  // namespace unroll
