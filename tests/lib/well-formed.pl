#!/usr/bin/perl
# tests/lib/well-formed.pl FILE...: is each file well-formed XML, in the plain form that figures are
# written in: elements, attributes in double quotes, comments, text? It says where it is not.
use strict;
use warnings;

my $entity = qr/&(?:amp|lt|gt|quot|apos|#\d+);/;
my $text = qr/(?:[^<>&]|$entity)+/;
my $attribute = qr/\s+([A-Za-z_:][\w:.-]*)="(?:[^"<&]|$entity)*"/;

my $bad = 0;
for my $file (@ARGV) {
    open my $in, '<:utf8', $file or die "$file: $!\n";
    local $_ = do { local $/; <$in> };
    my (@open, $roots, $wrong);
    pos = 0;
    until (defined $wrong or pos == length) {
        if (/\G<!--(?:(?!--).)*-->/gcs) {
        } elsif (/\G<([A-Za-z][\w:.-]*)((?:$attribute)*)\s*(\/?)>/gc) {
            my ($name, $attributes, $empty) = ($1, $2, $4);
            my %seen;
            $wrong = "<$name> after the end" if !@open && $roots++;
            $wrong //= "$_ twice in <$name>" for grep { $seen{$_}++ } $attributes =~ /$attribute/g;
            push @open, $name unless $empty;
        } elsif (/\G<\/([\w:.-]+)\s*>/gc) {
            my $expected = pop @open // "nothing";
            $wrong = "</$1>, expected </$expected>" if $1 ne $expected;
        } elsif (/\G$text/gc) {
            $wrong = "text outside of the root" if !@open && $& =~ /\S/;
        } else {
            $wrong = "no XML: " . substr($_, pos, 40) =~ s/\n.*//sr;
        }
    }
    $wrong //= "<$open[-1]> has no end" if @open;
    $wrong //= "it is empty" unless $roots;
    next unless defined $wrong;
    my $line = 1 + (substr($_, 0, pos // 0) =~ tr/\n//);
    print "$file:$line: $wrong\n";
    $bad = 1;
}
exit $bad;
