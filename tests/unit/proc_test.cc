#include "scratch.h"

#include <csignal>
#include <cstring>
#include <ctime>
#include <string>
#include <sys/prctl.h>
#include <vector>

extern "C" {
#include "core/file.h"
#include "core/proc.h"
}

namespace
{

double now()
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return double(t.tv_sec) + double(t.tv_nsec) / 1e9;
}

/* One child, run through sh unless `argv` says otherwise. */
struct Child {
    explicit Child(const char *script, km_proc with = {}, bool check = false)
        : Child(std::vector<const char *>{ "sh", "-c", script, nullptr }, with, check)
    {
    }
    explicit Child(const std::vector<const char *> &argv, km_proc with = {}, bool check = false)
    {
        double start = now();

        with.argv = argv.data();
        rc = check ? km_proc_check(&with, &result, &err) : km_proc_run(&with, &result, &err);
        seconds = now() - start;
    }
    Child(const Child &) = delete;
    Child &operator=(const Child &) = delete;
    ~Child()
    {
        km_proc_result_release(&result);
    }
    std::string out() const
    {
        return std::string(result.out.data, result.out.length);
    }
    std::string errors() const
    {
        return std::string(result.err.data, result.err.length);
    }

    km_proc_result result = KM_PROC_RESULT_INIT;
    km_err err = KM_ERR_INIT;
    double seconds;
    int rc;
};

/* Whether a process is there and is no zombie. */
bool is_alive(const std::string &pid)
{
    std::string state = slurp("/proc/" + pid + "/stat");
    size_t paren = state.rfind(')');

    return paren != std::string::npos && state[paren + 2] != 'Z';
}

bool dies_soon(const std::string &pid)
{
    for (int i = 0; i < 100 && is_alive(pid); i++)
        usleep(20000);
    return !is_alive(pid);
}

std::string without_newline(std::string s)
{
    while (!s.empty() && s.back() == '\n')
        s.pop_back();
    return s;
}

// A compiler's verdict and its messages are the result: none may be lost or mixed up.
TEST(Proc, ExitCodeAndBothStreams)
{
    for (int code : { 0, 1, 3, 127, 255 }) {
        Child r(("echo out; echo err >&2; exit " + std::to_string(code)).c_str());
        EXPECT_EQ(r.rc, 0) << r.err.message;
        EXPECT_EQ(r.result.exit_code, code);
        EXPECT_EQ(r.out(), "out\n");
        EXPECT_EQ(r.errors(), "err\n");
    }
}

// A compiler killed by the system must not look like one that was content.
TEST(Proc, SignalsAreExitCodes)
{
    EXPECT_EQ(Child("kill -SEGV $$").result.exit_code, 128 + SIGSEGV);
    EXPECT_EQ(Child("kill -KILL $$").result.exit_code, 128 + SIGKILL);
    EXPECT_EQ(Child("kill -TERM $$").result.exit_code, 128 + SIGTERM);
}

// Bytes are bytes: zeros, and more than a pipe holds, on both streams at once.
TEST(Proc, LargeOutputOnBothStreams)
{
    Child r("head -c 3000000 /dev/zero & head -c 2000000 /dev/zero >&2; wait");

    EXPECT_EQ(r.rc, 0) << r.err.message;
    EXPECT_TRUE(r.out() == std::string(3000000, '\0'));
    EXPECT_TRUE(r.errors() == std::string(2000000, '\0'));
}

// An argument is an argument: no shell looks at it.
TEST(Proc, ArgumentsAreNotInterpreted)
{
    Child r({ "printf", "%s|", "$HOME", "`id`", "a b", "", "*", "'\"\\", nullptr });

    EXPECT_EQ(r.out(), "$HOME|`id`|a b||*|'\"\\|");
}

// A variable that is to be replaced must not be there twice, and its namesakes stay.
TEST(Proc, EnvironmentIsAddedToAndReplaced)
{
    const char *const env[] = { "KM_TEST_A=new", "KM_TEST_NEW=1", "KM_TEST_EMPTY=", nullptr };
    km_proc with = {};

    setenv("KM_TEST_A", "old", 1);
    setenv("KM_TEST_AB", "kept", 1);
    with.env = env;
    Child r("env | grep ^KM_TEST | sort", with);
    EXPECT_EQ(r.out(), "KM_TEST_A=new\nKM_TEST_AB=kept\nKM_TEST_EMPTY=\nKM_TEST_NEW=1\n");
    EXPECT_STREQ(getenv("KM_TEST_A"), "old") << "our own environment is not touched";
    EXPECT_EQ(Child("echo $KM_TEST_A").out(), "old\n");
    unsetenv("KM_TEST_A");
    unsetenv("KM_TEST_AB");
}

// Ninja runs in the repository, whatever folder we were called from.
TEST(Proc, WorkingFolder)
{
    Scratch dir;
    km_proc with = {};

    with.cwd = dir.root.c_str();
    EXPECT_EQ(Child("pwd -P", with).out(), std::filesystem::canonical(dir.root).string() + "\n");
}

// A missing folder is the folder's fault: "unable to start 'sh'" would send the user to his PATH.
TEST(Proc, MissingWorkingFolderIsNamed)
{
    km_proc with = {};

    with.cwd = "/no/such/folder";
    Child r("true", with);
    EXPECT_EQ(r.rc, KM_ENOENT);
    EXPECT_STREQ(r.err.message, "unable to start 'sh' in '/no/such/folder': it is not a folder");
}

// A program named relative to us is started in another folder, and must be the same program.
TEST(Proc, RelativeProgramWithAWorkingFolder)
{
    Scratch dir;
    Inside folder(dir.root);
    km_proc with = {};

    chmod(dir.put("bin/tool", "#!/bin/sh\necho tool\n").c_str(), 0755);
    with.cwd = "/";
    EXPECT_EQ(Child({ "bin/tool", nullptr }, with).out(), "tool\n");
}

// Exit code 3 and the line to type come from this code.
TEST(Proc, MissingProgram)
{
    Child r({ "no-such-program", nullptr });

    EXPECT_EQ(r.rc, KM_EENV);
    EXPECT_STREQ(r.err.message, "program 'no-such-program' is not found");
    EXPECT_EQ(Child({ "/no/such/program", nullptr }).rc, KM_EENV);
    EXPECT_EQ(Child({ "/etc/passwd", nullptr }).rc, KM_EENV) << "a file that is no program";
    EXPECT_EQ(Child({ "/tmp", nullptr }).rc, KM_EENV) << "a folder";
}

// A script without its interpreter fails to start: an error with the reason, not exit code 127.
TEST(Proc, UnableToStart)
{
    Scratch dir;
    const std::string script = dir.put("script", "#!/no/such/interpreter\n");

    chmod(script.c_str(), 0755);
    Child r({ script.c_str(), nullptr });
    EXPECT_LT(r.rc, 0);
    EXPECT_EQ(std::string(r.err.message),
              "unable to start '" + script + "': No such file or directory");
}

// A child that waits for input would wait for ever: what is captured reads from nowhere.
TEST(Proc, CapturedChildrenHaveNoInput)
{
    Child r("cat; echo end");

    EXPECT_EQ(r.out(), "end\n");
    EXPECT_LT(r.seconds, 5);
}

// After the time is up nobody of the group may go on writing into the build folder.
TEST(Proc, TimeoutKillsTheWholeGroup)
{
    km_proc with = {};

    with.timeout_ms = 500;
    Child r("trap '' TERM; (trap '' TERM INT HUP; echo $BASHPID; exec sleep 60) & echo $!; wait",
            with);
    EXPECT_EQ(r.rc, KM_ETIME);
    EXPECT_STREQ(r.err.message, "a child ran longer than 0.5 s");
    EXPECT_LT(r.seconds, 5);
    EXPECT_EQ(r.result.exit_code, 128 + SIGKILL);
    std::string grandchild = without_newline(r.out());
    grandchild = grandchild.substr(grandchild.rfind('\n') + 1);
    ASSERT_NE(grandchild, "") << "what was captured until then is kept";
    EXPECT_TRUE(dies_soon(grandchild));
}

// A time limit that is not reached changes nothing.
TEST(Proc, TimeoutNotReached)
{
    km_proc with = {};

    with.timeout_ms = 60000;
    Child r("echo x", with);
    EXPECT_EQ(r.rc, 0);
    EXPECT_EQ(r.out(), "x\n");
    EXPECT_LT(r.seconds, 5);
}

// A program gone wild must not fill our memory; it is killed, and what it said first is kept.
TEST(Proc, OutputLimit)
{
    km_proc with = {};

    with.output_bytes_max = 100000;
    Child r("echo $$ >&2; yes", with);
    EXPECT_EQ(r.rc, KM_ELIMIT);
    EXPECT_STREQ(r.err.message, "a child wrote more than 100000 bytes");
    EXPECT_LE(r.result.out.length, 100000u);
    EXPECT_GT(r.result.out.length, 50000u);
    EXPECT_TRUE(dies_soon(without_newline(r.errors())));
    EXPECT_EQ(Child("head -c 100000 /dev/zero", with).rc, 0) << "exactly the limit is within it";
    EXPECT_EQ(Child("head -c 100001 /dev/zero", with).rc, KM_ELIMIT);
}

// A daemon that a child leaves behind keeps our pipe open: we end with the child all the same.
TEST(Proc, GrandchildKeepsThePipeOpen)
{
    Child r("sleep 60 & echo $!");

    EXPECT_EQ(r.rc, 0) << r.err.message;
    EXPECT_LT(r.seconds, 5);
    EXPECT_EQ(r.result.exit_code, 0);
    std::string pid = without_newline(r.out());
    ASSERT_NE(pid, "");
    kill(atoi(pid.c_str()), SIGKILL);
}

// And also when the one left behind never stops talking.
TEST(Proc, GrandchildKeepsWriting)
{
    Child r("for i in 1 2 3 4 5 6 7 8; do yes 2>/dev/null & done; echo $! >&2");

    EXPECT_EQ(r.rc, 0) << r.err.message;
    EXPECT_LT(r.seconds, 5);
    std::string pid = without_newline(r.errors());
    ASSERT_NE(pid, "");
    EXPECT_TRUE(dies_soon(pid)) << "its pipe is closed";
}

// What a command that is to be alone started is gone with it, in whatever session it is, at its end
// and at its time limit; it ends as it ended, and we ourselves stay no one's reaper.
TEST(Proc, AloneTakesAllAlong)
{
    const char *away = "setsid sh -c 'echo $$; exec sleep 30' & sleep 0.2; echo said >&2; ";
    km_proc with = {};
    int reaper = 1;

    with.alone = true;
    Child end((std::string(away) + "exit 3").c_str(), with);
    EXPECT_EQ(end.rc, 0) << end.err.message;
    EXPECT_EQ(end.result.exit_code, 3);
    EXPECT_EQ(end.errors(), "said\n");
    EXPECT_FALSE(is_alive(without_newline(end.out()))) << "gone when it returns";
    EXPECT_EQ(Child("kill -SEGV $$", with).result.exit_code, 128 + SIGSEGV);
    with.timeout_ms = 500;
    Child late((std::string(away) + "sleep 30").c_str(), with);
    EXPECT_EQ(late.rc, KM_ETIME);
    EXPECT_LT(late.seconds, 5);
    EXPECT_FALSE(is_alive(without_newline(late.out())));
    EXPECT_EQ(prctl(PR_GET_CHILD_SUBREAPER, &reaper), 0);
    EXPECT_EQ(reaper, 0);
}

// What a child wrote just before its end is in the pipe when we learn of the end.
TEST(Proc, LastWordsAreNotLost)
{
    for (int i = 0; i < 50; i++)
        EXPECT_EQ(Child("printf %060000d 0; printf x >&2").result.out.length, 60000u);
}

// We ignore SIGPIPE; a child that inherited it would complain where it should end quietly.
TEST(Proc, ChildrenDieOfABrokenPipe)
{
    void (*old)(int) = signal(SIGPIPE, SIG_IGN);
    Child r("yes | head -n 1");

    signal(SIGPIPE, old);
    EXPECT_EQ(r.out(), "y\n");
    EXPECT_EQ(r.errors(), "");
}

// Files that we have open are none of the child's business; a lock held by it would outlive us.
TEST(Proc, OurFilesAreNotInherited)
{
    Scratch dir;
    int fd = km_file_lock((dir / "lock").c_str(), true, nullptr);
    Child r("ls -l /proc/$$/fd");

    ASSERT_GE(fd, 0);
    EXPECT_NE(r.out().find(" 0 -> /dev/null"), std::string::npos) << r.out();
    EXPECT_EQ(r.out().find(dir.root), std::string::npos) << r.out();
    close(fd);
}

// km_proc_check turns a failure into a message that holds what the child said last.
TEST(Proc, CheckTellsWhatTheChildSaid)
{
    Child r("echo out; echo reason >&2; exit 3", {}, true);
    EXPECT_EQ(r.rc, KM_ECHILD);
    EXPECT_STREQ(r.err.message, "sh exited with 3:\nreason\n");

    Child from_stdout("echo only-here; exit 1", {}, true);
    EXPECT_STREQ(from_stdout.err.message, "sh exited with 1:\nonly-here\n");

    Child silent("exit 1", {}, true);
    EXPECT_STREQ(silent.err.message, "sh exited with 1");

    Child verbose("seq 100000 >&2; echo the-end >&2; exit 1", {}, true);
    EXPECT_NE(std::string(verbose.err.message).find("99999\n100000\nthe-end\n"), std::string::npos);

    EXPECT_EQ(Child("exit 0", {}, true).rc, 0);
}

// A result is used again for the next child only after release; release leaves it empty.
TEST(Proc, ReleaseLeavesAnEmptyResult)
{
    Child r("echo x; exit 3");

    km_proc_result_release(&r.result);
    EXPECT_EQ(r.result.exit_code, 0);
    EXPECT_EQ(r.out(), "");
    km_proc_interrupt(); /* no child runs: nothing to kill, and not our own group */
}

} // namespace
