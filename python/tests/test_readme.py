"""The program of README.md, and the types."""

import ast
import inspect
import pathlib
import re
import subprocess
import sys

import wgru

HERE = pathlib.Path(__file__).resolve().parents[1]


def test_the_program_of_the_readme_runs(tmp_path):
    [program] = re.findall(r"```python\n(.*?)```", (HERE / "README.md").read_text(), re.S)
    assert len(program.splitlines()) <= 12
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    first, last = re.search(r"loss (\S+) to (\S+)", done.stdout).groups()
    assert float(last) < 0.2 * float(first)
    mean, want = re.search(r"mean so far (\S+) of (\S+)", done.stdout).groups()
    assert abs(float(mean) - float(want)) < 0.3
    assert wgru.load(tmp_path / "mean.safetensors").info["output_size"] == 1


def test_all_names_are_typed_and_documented():
    tree = ast.parse((pathlib.Path(wgru.__file__).parent / "__init__.pyi").read_text())
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    for name in wgru.__all__:
        if name == "__version__":
            continue
        value = getattr(wgru, name)
        assert value.__doc__, name
        assert name in classes or name in functions, name
        if name in functions and not inspect.isbuiltin(value):
            arguments = functions[name].args
            typed = [a.arg for a in arguments.args + arguments.kwonlyargs]
            kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
            own = [p.name for p in inspect.signature(value).parameters.values() if p.kind not in kinds]
            assert typed == own, name
    for name in ("Device", "Model", "Stream", "OnnxStream"):
        own = {member for member in vars(getattr(wgru, name)) if not member.startswith("_")}
        typed = {node.name for node in classes[name].body if isinstance(node, ast.FunctionDef)}
        typed -= {"__init__", "__call__"}
        assert own == typed, name
        for member in own:
            assert getattr(getattr(wgru, name), member).__doc__, f"{name}.{member}"
    assert (pathlib.Path(wgru.__file__).parent / "py.typed").exists()


def test_importing_needs_no_framework():
    program = "import sys, wgru; print([name for name in ('torch', 'tensorflow', 'onnx') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
