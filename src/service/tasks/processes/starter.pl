# Starts programs for the service, as starter.ts does, in a process so small that the system copies it in little time.
# Needs Perl without modules, and Linux. Usage: perl starter.pl FLAGS, with the flags of open(2) for output files.
#
# Each order on stdin is the length of the rest in four bytes, then fields with null characters between them:
#   start ID KEEPS_GROUP CWD STDOUT STDERR RECORD_FOLDER COUNT IF_LOST... COUNT ARGV... NAME=VALUE...
#   end GROUP
# Each reply on stdout is a line: `ready` first, then `started ID PID` and `ended ID EXIT_CODE`, or `refused ID ERRNO`.
use strict;
use warnings;
no warnings 'exec';

# WNOHANG of waitpid(2). The module that has its name would make this process half as large again.
my $no_hang = 1;
# Seconds after which the end of a program is noticed if its signal arrives just before `select`, which it does not end.
my $missed_signal_after = 0.02;

my ($output_flags) = @ARGV;
# Programs have no stdin: ffmpeg would wait there for an answer.
open(my $from_service, '<&', *STDIN) or die;
open(STDIN, '<', '/dev/null') or die;
# Process groups that were started and have not ended, by their ids.
my %running;
my $orders = '';
my $replies = "ready\n";

# A signal to the whole process group, as Ctrl+C sends it, is for the service, which ends this process in its time.
# Programs do not inherit handlers, unlike the wish to ignore a signal.
$SIG{$_} = sub { } for qw(INT TERM HUP PIPE CHLD);

while (1) {
    send_replies();
    my $readable = '';
    vec($readable, fileno($from_service), 1) = 1;
    my $wait = (grep { !$_->{has_ended} } values %running) ? $missed_signal_after : undef;
    if (select($readable, undef, undef, $wait) > 0) {
        # Without an order, the service has died.
        end_all() unless sysread($from_service, $orders, 65536, length $orders);
        while (defined(my $order = next_order())) { follow($order) }
    }
    while ((my $pid = waitpid(-1, $no_hang)) > 0) { report_end($pid, $?) }
}

sub send_replies {
    while ($replies ne '') {
        my $sent = syswrite(STDOUT, $replies);
        # Where nothing reads replies any more, stdin has ended as well.
        substr($replies, 0, $sent // length $replies, '');
    }
}

sub next_order {
    return undef if length $orders < 4;
    my $end = 4 + unpack('N', $orders);
    return undef if length $orders < $end;
    my $order = substr($orders, 4, $end - 4);
    substr($orders, 0, $end, '');
    return $order;
}

sub follow {
    my ($kind, @fields) = split(/\0/, $_[0], -1);
    if ($kind eq 'end') {
        delete $running{$fields[0]};
        kill(-9, $fields[0]);
        return;
    }
    my %order;
    @order{qw(id keeps_group cwd stdout stderr folder)} = splice(@fields, 0, 6);
    $order{if_lost} = [splice(@fields, 0, shift @fields)];
    $order{argv} = [splice(@fields, 0, shift @fields)];
    $order{env} = \@fields;
    start(\%order);
}

sub start {
    my ($order) = @_;
    my $pid = pipe(my $failure, my $report) ? fork : undef;
    if (!defined $pid) {
        refuse($order, $! + 0);
        return;
    }
    become($order, $report) if $pid == 0;
    close $report;
    $order->{record} = record($order, $pid);
    $running{$pid} = $order;
    # This ends when the program runs: nothing has the other end open any more.
    my $errno = '';
    1 until defined sysread($failure, $errno, 16);
    if ($errno eq '') {
        $replies .= "started $order->{id} $pid\n";
        return;
    }
    waitpid($pid, 0);
    delete $running{$pid};
    unlink $order->{record};
    refuse($order, $errno);
}

sub refuse {
    my ($order, $errno) = @_;
    $replies .= "refused $order->{id} $errno\n";
}

# Makes this process, a copy of the starter, the program; its output files belong to it alone then.
sub become {
    my ($order, $report) = @_;
    setpgrp(0, 0);
    my $is_ready =
        sysopen(STDOUT, $order->{stdout}, $output_flags, 0666)
        && sysopen(STDERR, $order->{stderr}, $output_flags, 0666)
        && chdir($order->{cwd});
    run($order->{env}, $order->{argv}) if $is_ready;
    syswrite($report, $! + 0);
    kill(9, $$);
}

sub run {
    my ($env, $argv) = @_;
    %ENV = map { split(/=/, $_, 2) } @$env;
    exec { $argv->[0] } @$argv;
}

# Records a process, as `recordOf` and `startTime` of processTree.ts describe it. On a full disk the process runs all the
# same: this process ends it if the service dies.
sub record {
    my ($order, $pid) = @_;
    my $path = "$order->{folder}/$pid";
    my $stat = '';
    if (open(my $file, '<', "/proc/$pid/stat")) { sysread($file, $stat, 4096) }
    my @facts = split(/ /, substr($stat, rindex($stat, ')') + 2));
    my $text = ($facts[19] // '') . ($order->{keeps_group} ? ' group' : '');
    my $is_open = open(my $record, '>', $path);
    if (!$is_open) {
        # Another starter may make the folder at the same time.
        mkdir($order->{folder});
        $is_open = open($record, '>', $path);
    }
    syswrite($record, $text) if $is_open;
    return $path;
}

sub report_end {
    my ($pid, $status) = @_;
    my $order = $running{$pid} or return;
    $order->{has_ended} = 1;
    if (!$order->{keeps_group}) {
        delete $running{$pid};
        # What the program left running in its group ends with it, as on a node.
        kill(-9, $pid);
        unlink $order->{record};
    }
    my $signal = $status & 127;
    my $exit_code = $signal ? 128 + $signal : $status >> 8;
    $replies .= "ended $order->{id} $exit_code\n";
}

# Ends what was started: the next start of the service runs it again.
sub end_all {
    kill(-9, $_) for keys %running;
    for my $order (values %running) {
        next unless @{ $order->{if_lost} };
        my $pid = fork;
        next unless defined $pid && $pid == 0;
        setpgrp(0, 0);
        for my $stream (*STDIN, *STDOUT, *STDERR) { open($stream, '+<', '/dev/null') }
        run($order->{env}, $order->{if_lost});
        exit 1;
    }
    exit;
}
