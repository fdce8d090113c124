# Calls Ruby's own allocator as an extension does, by Fiddle, and keeps the account of what these calls gave: the
# interpreter's own objects are not in it. Says what the C workloads say (truth.h). Then it makes garbage, which the
# collector frees while more is asked for.
require "fiddle"

POINTER, SIZE, VOID = Fiddle::TYPE_VOIDP, Fiddle::TYPE_SIZE_T, Fiddle::TYPE_VOID

def function(name, arguments, result)
  Fiddle::Function.new(Fiddle::Handle::DEFAULT[name], arguments, result)
end

XMALLOC = function("ruby_xmalloc", [SIZE], POINTER)
XMALLOC2 = function("ruby_xmalloc2", [SIZE, SIZE], POINTER)
XCALLOC = function("ruby_xcalloc", [SIZE, SIZE], POINTER)
XREALLOC = function("ruby_xrealloc", [POINTER, SIZE], POINTER)
XREALLOC2 = function("ruby_xrealloc2", [POINTER, SIZE, SIZE], POINTER)
XFREE = function("ruby_xfree", [POINTER], VOID)
NOTHING = Fiddle::Pointer.new(0)

$allocated = [0, 0]
$freed = [0, 0]
$live = {}

def took(pointer, size)
  $allocated[0] += size
  $allocated[1] += 1
  $live[pointer.to_i] = size
  pointer
end

def gave(pointer)
  $freed[0] += $live.delete(pointer.to_i)
  $freed[1] += 1
end

def work
  (1..300).each do |round|
    a = took(XMALLOC.call(round * 10), round * 10)
    b = took(XMALLOC2.call(3, round), 3 * round)
    c = took(XCALLOC.call(5, round), 5 * round)
    d = took(XREALLOC.call(NOTHING, round), round)
    gave(a)
    a = took(XREALLOC.call(a, round * 100), round * 100)
    gave(b)
    b = took(XREALLOC2.call(b, 7, round), 7 * round)
    [[2, a], [3, b], [5, c], [7, d]].each do |divisor, block|
      next unless round % divisor == 0
      gave(block)
      XFREE.call(block)
    end
  end
  XFREE.call(NOTHING)
end

GARBAGE = 20_000

def make_garbage
  GARBAGE.times { |number| "garbage" * (200 + number % 7) }
end

puts "ready #{Process.pid}"
$stdout.flush
$stdin.gets
work
make_garbage
GC.start
left = $allocated.zip($freed).map { |allocated, freed| allocated - freed }
puts "process #{Process.pid} 0"
puts "truth fiddle heap #{($allocated + $freed + left).join(' ')}"
puts "done"
$stdout.flush
$stdin.gets
