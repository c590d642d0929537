def test_a_run_gets_its_page_anew(command, folder):
    assert command("eef-run", "own.yaml").code == 0
    page = folder / "runs/own/report.html"
    page.unlink(missing_ok=True)
    done = command("eef", "report", "runs/own")
    assert done.out == "report: runs/own/report.html\n"
    assert "</html>" in page.read_text()


def test_a_folder_that_is_no_run_is_refused(command):
    done = command("eef", "report", "nowhere")
    assert done.code == 1
    assert "'nowhere'" in done.err
