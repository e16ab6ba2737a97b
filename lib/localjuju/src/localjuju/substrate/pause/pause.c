/*
 * The first process of a pod: holds the pod's namespaces and reaps what is left to it.
 *
 * It ends at once on SIGTERM, so that stopping a pod takes no time. A plain `sleep` as process 1
 * ignores that signal and costs Podman's whole stop timeout.
 */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void end(int signal_number)
{
	(void)signal_number;
	_exit(0);
}

static void wake(int signal_number)
{
	(void)signal_number;
}

int main(void)
{
	struct sigaction on_end = {.sa_handler = end};
	struct sigaction on_child = {.sa_handler = wake, .sa_flags = SA_NOCLDSTOP};
	sigset_t child, none;

	sigemptyset(&none);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	/* Blocked but in sigsuspend: a child that ends in between is not missed. */
	sigprocmask(SIG_BLOCK, &child, NULL);
	sigaction(SIGTERM, &on_end, NULL);
	sigaction(SIGINT, &on_end, NULL);
	sigaction(SIGCHLD, &on_child, NULL);
	for (;;) {
		while (waitpid(-1, NULL, WNOHANG) > 0) {
		}
		sigsuspend(&none);
	}
}
